"""The file format of results and checkpoints: arrays and a line of JSON in one `.npz` file, without pickles.

Files are written atomically. The JSON text, the metadata, holds the shape, type and digest of each array. Digests are
needed because NumPy stops reading where the header of an array says, but zip archives check their checksums only at the
end, so that a wrong bit in the header would give wrong numbers. A file that is damaged, or whose content does not match
its name, is renamed and never deleted.
"""

import errno
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

from minilop.data import atomic_files
from minilop.data.atomic_files import atomic_write

METADATA = "metadata"  # name of the entry with the JSON text

Warn = Callable[[str], None]  # called with one sentence for the user


class FileError(OSError):
    """A file exists but cannot be used; the message is one sentence with the remedy."""


def write(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Write a file that is complete or absent, even after a power failure.

    Raises ValueError for an array of Python objects, which would need a pickle, and FileError if the folder cannot be
    written; an older file of that name then remains unchanged.
    """

    def write_archive(file: BinaryIO) -> None:
        descriptions = {}
        with zipfile.ZipFile(file, "w") as archive:  # numpy.savez would fall back on pickles
            for name, values in arrays.items():
                array = np.asanyarray(values)
                digest = _write_member(archive, name, array)
                descriptions[name] = {"shape": array.shape, "dtype": str(array.dtype), "sha256": digest}
            _write_member(archive, METADATA, np.array(json.dumps({**metadata, "arrays": descriptions})))

    try:
        atomic_write(path, write_archive)
    except OSError as problem:
        raise FileError(
            f"The folder {path.parent} cannot be written ({problem.strerror or problem}); make room there, or choose "
            "another with --out. Its files remain unchanged."
        ) from None


class _Digesting:
    """Computes the digest of what is written to a file."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def write(self, content: bytes) -> None:
        self.digest.update(content)
        self.file.write(content)


def _write_member(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> str:
    """Add an array to the archive. Returns the digest of its header and elements."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
        member = _Digesting(entry)
        np.lib.format.write_array(member, array, allow_pickle=False)  # type: ignore[arg-type]
    return member.digest.hexdigest()


def _read_member(archive: zipfile.ZipFile, name: str, digest: str) -> np.ndarray:
    """The array of that name. Raises ValueError, before its header is interpreted, if its digest is wrong."""
    with archive.open(f"{name}.npy") as member:
        if hashlib.file_digest(member, "sha256").hexdigest() != digest:  # type: ignore[arg-type]
            raise ValueError("wrong digest")
    with archive.open(f"{name}.npy") as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _read_metadata(archive: zipfile.ZipFile, size: int) -> dict[str, Any]:
    """The metadata of an archive of `size` bytes. Any exception means that the file is damaged.

    The whole text is read, so zipfile checks its checksum. The names of the arrays are in the file twice.
    """
    for member in archive.infolist():
        if member.compress_type != zipfile.ZIP_STORED or member.file_size > size:  # we never compress
            raise ValueError("not a file of minilop")
    text = np.lib.format.read_array(io.BytesIO(archive.read(f"{METADATA}.npy")), allow_pickle=False)
    metadata: dict[str, Any] = json.loads(str(text))
    if {f"{name}.npy" for name in (*metadata["arrays"], METADATA)} != set(archive.namelist()):
        raise ValueError("arrays are missing")
    return metadata


def remove_unfinished(folder: Path) -> None:
    """Remove temporary files that killed processes have left, a day after their last change."""
    atomic_files.remove_unfinished(folder, "*.npz")


def read(
    path: Path, expected: Mapping[str, Any], warn: Warn, *, metadata_only: bool = False, look_only: bool = False
) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """The arrays and the metadata of `path`, or None if it does not exist, is damaged or differs from `expected`.

    expected        entries that the metadata must have
    metadata_only   whether to skip the arrays, and thus the check of their digests
    look_only       whether to leave an unusable file unchanged instead of setting it aside; both give a warning

    Raises FileError if the file cannot be opened or the disk fails.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise FileError(f"{path} cannot be read ({problem.strerror}); make it readable or move it away.") from None
    reason, ending = "", "set-aside"
    with file:
        try:
            with zipfile.ZipFile(file) as archive:
                metadata = _read_metadata(archive, os.fstat(file.fileno()).st_size)
                different = sorted(name for name in expected if metadata.get(name) != expected[name])
                stored = {} if metadata_only or different else metadata["arrays"]
                arrays = {name: _read_member(archive, name, stored[name]["sha256"]) for name in stored}
        except MemoryError:  # says nothing about the file
            raise
        except Exception as problem:  # noqa: BLE001 - damage surfaces as almost any error
            if isinstance(problem, OSError) and problem.errno not in (None, errno.EINVAL):  # of the disk, not the file
                raise FileError(f"{path} cannot be read ({problem.strerror}); try again, or move it away.") from None
            reason, ending = "it is damaged", "damaged"
        else:
            reason = f"its metadata have unexpected values ({', '.join(different)})" if different else ""
    if reason:
        refuse(path, reason, warn, look_only, ending)
        return None
    return arrays, metadata


def refuse(path: Path, reason: str, warn: Warn, look_only: bool, ending: str = "set-aside") -> None:
    """Warn that `path` cannot be used, and set it aside unless `look_only`."""
    if look_only:
        warn(f"{path} is ignored: {reason}.")
    else:
        set_aside(path, reason, warn, ending)


def set_aside(path: Path, reason: str, warn: Warn, ending: str = "set-aside") -> None:
    """Rename `path`, so that it can be inspected later. Raises FileError if that fails."""
    aside, number = path.with_name(f"{path.name}.{ending}"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.{ending}-{number}")
    try:
        path.rename(aside)
    except FileNotFoundError:  # another command has set it aside
        return
    except OSError as problem:
        raise FileError(f"{path} cannot be used ({reason}) or renamed ({problem.strerror}); move it away.") from None
    warn(f"{path} is renamed to {aside.name}, and its work is repeated: {reason}.")
