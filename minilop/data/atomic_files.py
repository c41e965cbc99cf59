"""Files that are whole or absent, on the disk and not only on their way to it where the file system offers that."""

import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

LEFTOVER_AGE = 24 * 3600  # seconds; far more than writing one file takes, and than the clocks of two machines differ
NOT_OFFERED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


def atomic_write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file that a reader finds whole or not at all, even after a power cut.

    Raises what `write` raises, and OSError where the folder cannot be written; an older file then stays as it was.
    """
    # Commands in one folder do not share it: host names and process numbers repeat in containers, random names do not.
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            write(file)
            sync(file)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove_unfinished(folder: Path, names: str, is_locked: bool = False) -> None:
    """Remove what commands left that were killed while they wrote a file whose name matches the pattern `names`.

    A temporary file goes a day (LEFTOVER_AGE) after it was last written: nothing else tells whether its writer, maybe
    on another machine, still lives. It goes at once where `is_locked`, a lock that every writer of such a file takes.
    """
    for path in folder.glob(f"{names}.*.tmp"):
        try:
            if is_locked or time.time() - path.stat().st_mtime > LEFTOVER_AGE:
                path.unlink()
        except OSError:  # another command has removed it, or it belongs to another user
            pass


def check_room(folder: Path, needed: int, words: str) -> None:
    """Raise OSError (ENOSPC) with these words where the disk says that it has not `needed` bytes more."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:  # some file systems do not say
        return
    if usage.total and usage.free < needed:  # others say that they have none at all
        raise OSError(errno.ENOSPC, words)


def sync(file: BinaryIO) -> None:
    """Wait until what was written is on the disk. Raises OSError where that failed, not where it is not offered."""
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as problem:
        if problem.errno not in NOT_OFFERED:
            raise


def sync_folder(folder: Path) -> None:
    """A new name lives in the folder, which is written apart from the file.

    Network, FUSE and shared folders refuse this in many ways (EINVAL, ENOTSUP, EIO, EACCES). The file is whole and has
    its name by then, so a refusal is no error: such a file system decides itself when the name reaches the disk.
    """
    if hasattr(os, "O_DIRECTORY"):  # Windows has no such call
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError:
            pass
