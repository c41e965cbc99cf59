"""The fingerprint of examples, by which a result knows the images that it was made from.

A problem's `data_source` is a title and a fingerprint, and part of a result's name. The title comes from published
checksums (`identify_training_set`, `identify_cifar100`, `Store.title`), never from a file's name. A worker, which reads
the files itself and maybe later, calls `check_source` with the source of its experiment and that of what it has read.
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
    """Raise DataError unless what was read is what the experiment is named by."""
    if found != expected:
        raise DataError(
            f"The data have changed since the command began: they were {expected}, and now they are {found}; "
            "start the command again."
        )


def title_of(source: str) -> str:
    """The title in a `data_source`: what the images are, without their number and fingerprint."""
    return source.partition(": ")[0]
