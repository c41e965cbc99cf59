"""Files that are whole or absent, on the disk and not only on their way to it."""

import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

HOST = platform.node()


def atomic_write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file that a reader finds whole or not at all, even after a power cut.

    Raises what `write` raises, and OSError where the folder cannot be written; an older file then stays as it was.
    """
    # Commands in one folder, on one machine or several, do not share it.
    temporary = path.with_name(f"{path.name}.{HOST}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            sync(file)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync(file: BinaryIO) -> None:
    """Wait until what was written is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """A new name lives in the folder, which is written apart from the file."""
    if hasattr(os, "O_DIRECTORY"):  # Windows has no such call
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
