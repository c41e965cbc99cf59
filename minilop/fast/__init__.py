"""Faster equivalents of plain code elsewhere in the library.

Each module names the plain code to which it is equal except for rounding, and `tests/test_fast.py` checks that it is.
A faster equivalent is included only if it makes a problem with its default settings at least 1.5 times as fast. A
learner selects it by its optimizer. Read the plain code first.

    in_place.py   SGD on one example without storing the gradient
    low_rank.py   SGD on one example that writes the weight once in 16 steps
"""

from minilop.fast.in_place import InPlaceSGD, sgd_step_in_place
from minilop.fast.low_rank import BufferedDense, BufferedSGD

__all__ = ["BufferedDense", "BufferedSGD", "InPlaceSGD", "sgd_step_in_place"]
