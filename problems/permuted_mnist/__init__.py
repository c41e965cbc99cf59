"""Online Permuted MNIST: hundreds of passes over the digits, each with a new permutation of the pixels.

Each task has a random permutation of the pixels and a random order of the examples. The learner sees each example once
in a task, one per step. Its prediction is scored before it learns from the example, and it is not told when a task
begins. No task is harder than another. What a learner loses over the tasks is plasticity, except for what it loses
because each task starts from weights that fit the previous one. `linear`, which has no units to lose, shows how much
that can be.

Dohare et al. (2024), Methods, "Online Permuted MNIST". Paper - published code - ours:

  permutation               new for every task - composed with all before it - new; the distribution is the same
  weight magnitude          at every step - at every step - every `magnitude_interval` steps, 16 at paper scale, because
                            learners that buffer updates (minilop/fast/low_rank.py) must apply them to measure it
  dead units, ranks         on the first 2,000 examples of a task, before learning from it - the same - the same
  utility                   contribution - adaptable_contribution - as in the code, which produced the published curves

The network without hidden units, `linear`, and `redo` are ours. Two experiments of the paper are missing: online
normalization, because the paper does not give its two hyperparameters, and permutations that change after 100,000 or
1,000,000 examples, because a task has at most 60,000. For changes after 10,000 examples, set task_length=10000.
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

TITLE = "Online Permuted MNIST: digits whose pixels are permuted again in every task"
