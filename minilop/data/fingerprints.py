"""The fingerprint of data, by which a result identifies the images from which it was made.

The `data_source` of a problem is a title and a fingerprint; the name of a result depends on it. The title is based on
published checksums (`identify_training_set`, `identify_cifar100`, `Store.title`), never on the name of a file. A worker
reads the files later than the command, so it calls `check_source` to make sure that they have not changed.
"""

import hashlib

import numpy as np

from minilop.data.errors import DataError


def fingerprint(*arrays: np.ndarray) -> str:
    """Twelve hexadecimal digits of the SHA-256 of the arrays' elements, one array after the other in C order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()[:12]


def check_source(expected: str, found: str) -> None:
    """Raises DataError if the data have changed since the experiment was planned."""
    if found != expected:
        raise DataError(
            f"The data have changed since the command started: they were {expected}, and now they are {found}; "
            "restore the old data, or run the command again to use the new data."
        )


def title_of(source: str) -> str:
    """The title in a `data_source`, without the number of images and the fingerprint."""
    return source.partition(": ")[0]
