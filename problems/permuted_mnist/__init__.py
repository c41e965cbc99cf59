"""Online Permuted MNIST: one pass over the digits, then the pixels are permuted and it begins again, hundreds of times.

Each task has a random permutation of the pixels and a random order of the examples; each example is seen once, alone,
and the learner's guess counts before it learns from it. Nothing tells the learner that a task begins. No task is harder
than another. What a learner loses over the tasks is plasticity, except for what it loses because each task starts from
weights that fit the previous one. `linear`, which has no units to lose, shows how much that can be.

Dohare et al. (2024), Methods, "Online Permuted MNIST". Paper - published code - ours:

  permutation               a fresh one for every task - composed with all before it - fresh; its distribution is
                            the same
  weight magnitude          at every step - at every step - every `magnitude_interval` steps, 16 at paper scale: the
                            learners that buffer their updates (minilop/fast/low_rank.py) bring their weights up to date
                            for it
  dead units, ranks         on the first 2,000 examples of a task, before learning from it - the same - the same
  utility                   contribution in the text - adaptable_contribution in its files - the files', which made the
                            published curves

The network without a single hidden unit, `linear`, and `redo` are ours. Not here: online normalization, whose two
hyperparameters the paper does not give, and changes of the permutation after 100,000 or 1,000,000 examples, more than
there are (every 10,000: task_length=10000).
"""

from problems.permuted_mnist.digits import data_source, load_digits
from problems.permuted_mnist.figures import figures
from problems.permuted_mnist.learners import STEP_SIZE_LEARNERS
from problems.permuted_mnist.problem import PermutedDigits, start
from problems.permuted_mnist.settings import SCALES, Settings

__all__ = [
    "SCALES",
    "STEP_SIZE_LEARNERS",
    "TITLE",
    "PermutedDigits",
    "Settings",
    "data_source",
    "figures",
    "load_digits",
    "start",
]

TITLE = "Online Permuted MNIST: the pixels of the digits are permuted again and again"
