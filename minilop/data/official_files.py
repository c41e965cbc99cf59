"""Official files of data sets: names, sizes and checksums, for the readers and for the download command."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from minilop.data.contents import unreadable


class OfficialFile(NamedTuple):
    name: str
    size: int  # bytes
    md5: str  # a reader also accepts other files, but does not call them official


def fetch_command(dataset: str, folder: Path) -> str:
    """The command that downloads the data set to where its reader looks in `folder`."""
    return f"python -m minilop.data fetch {dataset} --out {folder}"


def md5(*pieces: bytes | bytearray | memoryview) -> str:
    """The checksum that data sets are published with; it detects accidents, not forgery."""
    digest = hashlib.md5(usedforsecurity=False)
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def md5_of_file(path: Path) -> str:
    """The checksum of a file on the disk, not decompressed. Raises DataError if the file cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as problem:
        raise unreadable(path, problem) from None


def unofficial(title: str) -> str:
    """The title of images that have the file names of a data set but not its checksums."""
    return f"images that are not the official files of {title}"
