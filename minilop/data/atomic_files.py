"""Writes files atomically: they are complete or absent, even after a power failure if the file system supports it."""

import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

LEFTOVER_AGE = 24 * 3600  # seconds; far longer than writing a file takes, and than the clocks of two machines differ
NOT_SUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


def atomic_write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file that is complete or absent, even after a power failure.

    Raises what `write` raises, and OSError if the folder cannot be written; an older file then remains unchanged.
    """
    # The name is random because host names and process numbers may repeat among the commands that share the folder.
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
    """Remove temporary files that killed commands have left; their final names match the pattern `names`.

    A temporary file is removed a day (LEFTOVER_AGE) after its last change, since its writer may still run on another
    machine. If `is_locked`, this command holds the lock of all its writers, and the file is removed immediately.
    """
    for path in folder.glob(f"{names}.*.tmp"):
        try:
            if is_locked or time.time() - path.stat().st_mtime > LEFTOVER_AGE:
                path.unlink()
        except OSError:  # another command has removed it, or another user owns it
            pass


def check_room(folder: Path, needed: int, words: str) -> None:
    """Raises OSError (ENOSPC) with the message `words` if the disk reports less than `needed` free bytes."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:  # some file systems do not report it
        return
    if usage.total and usage.free < needed:  # others report a size of zero
        raise OSError(errno.ENOSPC, words)


def sync(file: BinaryIO) -> None:
    """Wait until the file is on the disk, if the file system supports it. Raises OSError if that fails."""
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as problem:
        if problem.errno not in NOT_SUPPORTED:
            raise


def sync_folder(folder: Path) -> None:
    """Wait until the names in the folder are on the disk, which stores them apart from the files.

    Network, FUSE and shared folders refuse this with many errors (EINVAL, ENOTSUP, EIO, EACCES). They are ignored: the
    file is complete and has its name by then, and such a file system decides itself when the name reaches the disk.
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
