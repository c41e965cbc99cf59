"""Files that gzip may have packed: what they hold decides how they are read, never their name.

Browsers and unpackers leave an unpacked file under a name that ends in .gz, and a packed one under a bare name. Every
reader of this package reads both.
"""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from minilop.data.errors import DataError

PIECE = 2**20  # bytes read at a time, so that memory is taken only for bytes that are there
_GZIP = b"\x1f\x8b"
_STRANGERS = {  # by the first bytes: what a file is, and what to do about it
    _GZIP: ("a file that gzip has packed", "unpack it"),  # again, or where only unpacked files are read
    b"PK": ("a zip archive", "unpack it"),
    b"BZh": ("a file packed with bzip2", "unpack it"),
    b"\xfd7zXZ": ("a file packed with xz", "unpack it"),
    b"7z\xbc\xaf": ("a 7-Zip archive", "unpack it"),
    b"<": ("a web page, which servers send instead of a file", "download it again"),
}


@contextmanager
def open_unpacked(path: Path) -> Iterator[IO[bytes]]:
    """The content of the file at `path`, from which gzip's packing is removed where it has one.

    Raises DataError where the file cannot be read or gzip finds it damaged, while it is read, too.
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
    """What gzip found, in our words."""
    if isinstance(problem, EOFError):
        return "it ends early"
    if isinstance(problem, zlib.error):
        return "its compressed bytes make no sense"
    is_sum = "CRC" in str(problem) or "length" in str(problem)
    return "its checksum or its size is wrong" if is_sum else "it holds bytes that gzip did not write"


def unreadable(path: Path, problem: OSError) -> DataError:
    """The sentence for a file that the system does not let us read."""
    return DataError(
        f"{path} cannot be read ({problem.strerror or 'no reason is given'}); check that it is a file you may read."
    )


def stranger(head: bytes) -> tuple[str, str]:
    """What a file with these first bytes is, and what to do about it; empty where they tell nothing."""
    return next((told for magic, told in _STRANGERS.items() if head.startswith(magic)), ("", ""))


def read_exactly(file: IO[bytes], size: int) -> bytearray:
    """The next `size` bytes, fewer where the file ends. Memory grows with what is there, not with what is announced."""
    content = bytearray()
    while len(content) < size and (piece := file.read(min(PIECE, size - len(content)))):
        content += piece
    return content
