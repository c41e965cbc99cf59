"""What can be wrong with data, or with the folder that they are written to, in one sentence for the user."""

import errno

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
    errno.EFBIG: f"{_CHOOSE}, on a file system that holds files of several gigabytes",
    errno.ENAMETOOLONG: "choose a shorter --out",
}


class DataError(ValueError):
    """Data are missing, damaged or of another kind; the message is one sentence that says what to do."""


def remedy(problem: OSError) -> str:
    """What to do about a folder that a command cannot write, by the reason that the system gives."""
    return _REMEDIES.get(problem.errno or 0, f"check the disk and its connection, or {_CHOOSE}")
