"""A file that only one command writes at a time, where the file system has locks."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from minilop.data.errors import DataError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

NOT_OFFERED = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)  # by some NFS, CIFS, FUSE
HELD = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES)  # the last where a server makes flock of other locks

_told: set[Path] = set()  # folders of which this process has said that they have no locks


def lock(file: BinaryIO, path: Path, say: Callable[[str], None]) -> bool:
    """Take the open file at `path` for this command, until it is closed or the process ends, however it ends.

    Gives whether it is taken: where the file system has no locks, `say` is told so, once a folder, and the command goes
    on without. Raises DataError where another command has the file, and OSError where locking failed otherwise.
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
        if problem.errno not in NOT_OFFERED:
            raise
        if path.parent not in _told:
            _told.add(path.parent)
            say(
                f"The file system of {path.parent} has no locks ({problem.strerror}), so this command goes on without; "
                "let no second command write there meanwhile."
            )
        return False
    return True
