"""Slowly-Changing Regression: the smallest problem on which a network loses plasticity.

A fixed random target network of 100 threshold units maps 20 bits to a number; a learner with 5 hidden units, too small
to represent it, follows it one example at a time. The first 15 bits change slowly: after every `task_length` examples
one of them is inverted. The last 5 are random in every example, so a task has 32 different inputs.

    target   y = sum_i v_i [w_i . x + b_i > theta_i] + c       all of w, b, v, c are +1 or -1
             theta_i = (n + 1) beta - S_i                      beta = 0.7; S_i: how many of w_i and b_i are -1

Dohare et al. (2024), Methods, "Slowly-Changing Regression". Paper - published code - ours:

  change of the slow bits   one is inverted - the default of the code redraws all - option `change`
  S_i                       as above - the published code has the bias with the wrong sign, (n - sum w + b) / 2, so half
                            of the target's units almost never fire - option `target_threshold`; the code's by default,
                            because the published errors (0.8 for the linear network) are those of its target, while
                            the paper's formula gives about 1.2
  maturity threshold        not stated - the code's file says 100 under a key that is not read, so 10 is used - 10
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

TITLE = "Slowly-Changing Regression: a network of 5 hidden units follows a target whose inputs drift"
