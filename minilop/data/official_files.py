"""What is known of the files in which a data set is published, for its reader and for the command that fetches it."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from minilop.data.contents import unreadable


class OfficialFile(NamedTuple):
    name: str
    size: int  # bytes
    md5: str  # compared when fetching, and by the reader, which takes a subset too but never under the official name


def fetch_command(dataset: str, folder: Path) -> str:
    """What to type to have the data set where its reader looks for it in `folder`."""
    return f"python -m minilop.data fetch {dataset} --out {folder}"


def md5(*pieces: bytes | bytearray | memoryview) -> str:
    """The checksum of bytes, as the publishers of data sets give it: against accidents, not against forgery."""
    digest = hashlib.md5(usedforsecurity=False)
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def md5_of_file(path: Path) -> str:
    """The checksum of a file as it lies on the disk. Raises DataError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as problem:
        raise unreadable(path, problem) from None


def unofficial(title: str) -> str:
    """What to call images that lie under a data set's file names but are not, by their checksum, that data set."""
    return f"images that are not the official files of {title}"
