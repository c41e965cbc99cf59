"""A file that only one command writes at a time."""

from pathlib import Path
from typing import BinaryIO

from minilop.data.errors import DataError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def lock(file: BinaryIO, path: Path) -> None:
    """Take the open file at `path` for this command, until it is closed or the process ends, however it ends.

    Raises DataError where another command has it.
    """
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DataError(f"{path} is being written by another command; wait for it or choose another --out.") from None
