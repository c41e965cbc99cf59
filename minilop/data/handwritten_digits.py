"""1,797 real handwritten digits of 8 x 8 pixels, part of the package.

E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
DOI 10.24432/C50P49, license CC BY 4.0 (`LICENSE-handwritten-digits.txt`). These are the 1,797 digits of its test part,
in the same order, as in scikit-learn's `load_digits`. Thirteen people wrote them. A pixel is the number of black points
in a 4 x 4 block of the scanned 32 x 32 bitmap, from 0 to 16.
"""

from importlib import resources

import numpy as np
import numpy.typing as npt


def handwritten_digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Images (1797, 8, 8), ink from 0 to 16, and labels (1797,), 0 to 9; new arrays in each call."""
    with (
        resources.files("minilop.data").joinpath("handwritten_digits.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as content,
    ):
        return content["images"], content["labels"]
