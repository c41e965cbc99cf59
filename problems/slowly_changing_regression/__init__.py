"""Slowly-Changing Regression: the smallest problem on which a network loses plasticity.

A fixed random target network of 100 threshold units maps 20 bits to a number. The learner has 5 hidden units, too few
to represent the target, and sees one example at a time. The first 15 bits change slowly: after every `task_length`
examples one of them is inverted. The last 5 bits are random in every example, so a task has 32 different inputs.

    target   y = sum_i v_i [w_i . x + b_i > theta_i] + c       every w, b, v and c is +1 or -1
             theta_i = (n + 1) beta - S_i                      beta = 0.7; S_i is the number of -1 in w_i and b_i

Dohare et al. (2024), Methods, "Slowly-Changing Regression". Paper - published code - ours:

  change of the slow bits   one is inverted - by default all are redrawn - option `change`
  S_i                       as above - the bias has the wrong sign, (n - sum w + b) / 2, so half of the target units
                            almost never fire - option `target_threshold`; by default as in the code, because the
                            published errors (0.8 for the linear network) belong to its target, while the paper's
                            formula gives about 1.2
  maturity threshold        not stated - the file says 100 under a key that is never read, so 10 is used - 10
  bins                      40,000 examples - 20,000 - option `bin_size`
"""

from problems.slowly_changing_regression.figures import figures
from problems.slowly_changing_regression.learners import LEARNERS, STEP_SIZE_LEARNERS
from problems.slowly_changing_regression.problem import RegressionRuns, data_source, start
from problems.slowly_changing_regression.settings import SCALES, Settings
from problems.slowly_changing_regression.stream import Stream

__all__ = [
    "LEARNERS",
    "SCALES",
    "STEP_SIZE_LEARNERS",
    "TITLE",
    "RegressionRuns",
    "Settings",
    "Stream",
    "data_source",
    "figures",
    "start",
]

TITLE = "Slowly-Changing Regression: a network of 5 hidden units tracks a target whose inputs change slowly"
