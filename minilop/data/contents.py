"""Opens files that may be compressed with gzip, whatever their names are.

Some browsers decompress a file but keep its name with .gz, and some programs drop .gz from the name of a compressed
file. So the first bytes of a file decide how it is read.
"""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from minilop.data.errors import DataError

PIECE = 2**20  # bytes read at a time, so that memory is allocated only for bytes that exist
_GZIP = b"\x1f\x8b"
_OTHER_FORMATS = {  # by the first bytes: what the file is, and what to do about it
    _GZIP: ("a file compressed with gzip", "unpack it"),  # compressed twice, or where only unpacked files are read
    b"PK": ("a zip archive", "unpack it"),
    b"BZh": ("a file compressed with bzip2", "unpack it"),
    b"\xfd7zXZ": ("a file compressed with xz", "unpack it"),
    b"7z\xbc\xaf": ("a 7-Zip archive", "unpack it"),
    b"<": ("a web page instead of a file", "download it again"),
}


@contextmanager
def open_unpacked(path: Path) -> Iterator[IO[bytes]]:
    """Open the file at `path`, and decompress it while it is read if gzip has compressed it.

    Raises DataError, also while the file is read, if it cannot be read or its compressed data are damaged.
    """
    try:
        with path.open("rb") as file:
            is_packed = file.read(2) == _GZIP
            file.seek(0)
            if is_packed:
                with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
                    yield unpacked  # type: ignore[misc]
            else:
                yield file
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        raise DataError(f"{path} is a damaged gzip file: {gzip_finding(problem)}; download it again.") from None
    except OSError as problem:
        raise unreadable(path, problem) from None


def gzip_finding(problem: Exception) -> str:
    """The reason for an error of gzip or zlib, in a few words."""
    if isinstance(problem, EOFError):
        return "it ends early"
    if isinstance(problem, zlib.error):
        return "its compressed bytes are invalid"
    is_sum = "CRC" in str(problem) or "length" in str(problem)
    return "its checksum or its size is wrong" if is_sum else "it contains bytes that gzip did not write"


def unreadable(path: Path, problem: OSError) -> DataError:
    """The error for a file that the system refuses to read."""
    return DataError(
        f"{path} cannot be read ({problem.strerror or 'no reason is given'}); check that it is a file you may read."
    )


def other_format(head: bytes) -> tuple[str, str]:
    """What a file with these first bytes is, and what to do about it; empty strings if unknown."""
    return next((words for magic, words in _OTHER_FORMATS.items() if head.startswith(magic)), ("", ""))


def read_exactly(file: IO[bytes], size: int) -> bytearray:
    """The next `size` bytes, or fewer at the end of the file. Allocates memory only for bytes that exist."""
    content = bytearray()
    while len(content) < size and (piece := file.read(min(PIECE, size - len(content)))):
        content += piece
    return content
