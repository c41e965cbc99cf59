"""Data that problems learn from, as NumPy arrays of unsigned bytes on the host.

Real digits that come with the package, generated ones without end, and the official MNIST files where the user has
them. Scaling to floats and the way to the device are a problem's own business.
"""

from minilop.data.errors import DataError
from minilop.data.handwritten_digits import handwritten_digits
from minilop.data.idx import read_idx, read_training_set
from minilop.data.synthetic_digits import halve, synthetic_digits

__all__ = ["DataError", "halve", "handwritten_digits", "read_idx", "read_training_set", "synthetic_digits"]
