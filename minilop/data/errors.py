"""The error for data that cannot be used, and the remedies for folders that cannot be written."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CHOOSE = "choose another --out"
_MAKE_ROOM = f"make room or {_CHOOSE}"
_FORBIDDEN = f"{_CHOOSE}, a folder that you may write"
_IN_THE_WAY = f"a file is in its way: remove that file or {_CHOOSE}"

_REMEDIES = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EROFS: _FORBIDDEN,
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.ENOENT: f"make its folder or {_CHOOSE}",
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.EISDIR: f"a folder is in its way: remove that folder or {_CHOOSE}",
    errno.EFBIG: f"{_CHOOSE}, on a file system that allows files of several gigabytes",
    errno.ENAMETOOLONG: "choose a shorter --out",
}


class DataError(ValueError):
    """Data are missing, damaged or of the wrong kind; the message is one sentence with the remedy."""


def remedy(problem: OSError) -> str:
    """What to do if a command cannot write its folder, in a few words."""
    return _REMEDIES.get(problem.errno or 0, f"check the disk and its connection, or {_CHOOSE}")


@contextmanager
def blaming(folder: Path) -> Iterator[None]:
    """Turn an OSError of a command that can be continued into a DataError that names the file or the folder."""
    try:
        yield
    except OSError as problem:
        raise DataError(
            f"{problem.filename or folder} cannot be read or written ({problem.strerror or problem}); "
            f"{remedy(problem)}, then run the same command again to continue."
        ) from None
