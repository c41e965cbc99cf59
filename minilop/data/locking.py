"""Locks a file, so that only one command at a time writes it, if the file system has locks."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from minilop.data.errors import DataError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

NOT_SUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)  # some NFS, CIFS, FUSE
HELD = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES)  # EACCES if a server emulates flock

_warned: set[Path] = set()  # folders without locks about which this process has warned


def lock(file: BinaryIO, path: Path, say: Callable[[str], None]) -> bool:
    """Lock the open file at `path` until it is closed or the process ends. Returns whether it is locked.

    If the file system has no locks, calls `say` with a warning, once per folder. Raises DataError if another command
    holds the lock, and OSError if locking fails for another reason.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        if problem.errno in HELD:
            raise DataError(
                f"{path} is being written by another command; wait for it or choose another --out."
            ) from None
        if problem.errno not in NOT_SUPPORTED:
            raise
        if path.parent not in _warned:
            _warned.add(path.parent)
            say(
                f"The file system of {path.parent} has no locks ({problem.strerror}); make sure that no other command "
                "writes there at the same time."
            )
        return False
    return True
