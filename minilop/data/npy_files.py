"""Reads the header of an npy file without evaluating it.

NumPy evaluates the header as a Python dictionary, so that a wrong bit can raise almost any error of Python. Here its
three entries are matched with patterns:

    {'descr': '|u1', 'fortran_order': False, 'shape': (50000, 3072), }

The format is NumPy's NEP 1: the bytes 93 NUMPY, the version (major, minor), the header's length (2 bytes, in version 2
and later 4, least significant first), the header.
"""

import math
import re
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from minilop.data.contents import other_format
from minilop.data.errors import DataError

MOST_HEADER_BYTES = 10_000
MOST_DIMENSIONS = 8
_ENTRIES = {
    "descr": rb"'descr': *'([<>|=]?[biuf][0-9]{1,2})'",
    "fortran_order": rb"'fortran_order': *(True|False)",
    "shape": rb"'shape': *\(([0-9]{1,15}L?(?:, *[0-9]{1,15}L?)*)?,? *\)",
}


class Header(NamedTuple):
    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype
    length: int  # bytes before the first element

    @property
    def num_bytes(self) -> int:
        """The size of all elements; exact, since Python's integers do not overflow."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(file: IO[bytes], name: str) -> Header:
    """Read the header of an open npy file. Raises DataError if it is invalid or announces Python objects."""
    magic = file.read(8)
    if magic[:6] != b"\x93NUMPY" or len(magic) < 8 or magic[6] not in (1, 2, 3):
        kind, what_to_do = other_format(magic)
        kind = kind or f"not an npy array: it begins with {magic.hex(' ') or 'nothing'}"
        raise DataError(f"{name} is {kind}; {what_to_do or 'get it again'}.")
    prefix = file.read(2 if magic[6] == 1 else 4)
    length = int.from_bytes(prefix, "little")
    text = file.read(min(length, MOST_HEADER_BYTES))
    if len(text) < length:
        raise DataError(f"{name} is a damaged npy array: its header ends early or is far too long; get it again.")
    found = {key: re.findall(pattern, text) for key, pattern in _ENTRIES.items()}
    if b"'O'" in text or b"|O" in text:
        raise DataError(f"{name} holds Python objects, but numbers are expected, so nothing was read; get it again.")
    try:
        (descr,), (order,), (sizes,) = found["descr"], found["fortran_order"], found["shape"]
        dtype = np.dtype(descr.decode())
    except (ValueError, TypeError):
        raise DataError(f"{name} is a damaged npy array: its header is invalid; get it again.") from None
    shape = tuple(int(size) for size in re.findall(rb"[0-9]+", sizes))
    if len(shape) > MOST_DIMENSIONS:
        raise DataError(f"{name} is a damaged npy array: it has {len(shape)} dimensions; get it again.")
    return Header(shape, order == b"True", dtype, 8 + len(prefix) + length)


def map_array(path: Path, name: str | None = None) -> np.memmap:
    """The array in the npy file at `path`, as a read-only memory map.

    Raises DataError if the file is not an npy file or has fewer or more bytes than its header announces, and OSError if
    it cannot be opened.
    """
    name = name or str(path)
    with path.open("rb") as file:
        header = read_header(file, name)
        size = file.seek(0, 2)
        expected = header.length + header.num_bytes
        if size != expected or header.num_bytes == 0:
            raise DataError(
                f"{name} is damaged: it has {size:,} bytes, but its header announces {expected:,}; get it again."
            )
    return np.memmap(path, header.dtype, "r", header.length, header.shape, "F" if header.fortran_order else "C")
