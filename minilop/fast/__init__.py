"""Faster forms of the same arithmetic: twins of a plain text elsewhere in the library.

Each module names the plain text that it equals but for rounding, and `tests/test_fast.py` checks that it does. A twin
is here because it makes a problem, with the settings it is shipped with, at least 1.5 times as fast. A learner chooses
it by its optimizer. Read the plain text first.

    in_place.py   SGD on one example without storing the gradient
    low_rank.py   SGD on one example that writes the weight once in 16 steps
"""

from minilop.fast.in_place import InPlaceSGD, sgd_step_in_place
from minilop.fast.low_rank import BufferedDense, BufferedSGD

__all__ = ["BufferedDense", "BufferedSGD", "InPlaceSGD", "sgd_step_in_place"]
