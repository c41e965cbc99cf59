"""Files that are whole or absent: arrays and a line of JSON in one `.npz`, never a pickle.

Results and checkpoints are both such files. The JSON text, the metadata, holds the shape, type and digest of each
array. Without digests, a flipped bit in an array's header would be read as other numbers: NumPy stops where the header
says, and zip archives compare a checksum only at the end. A file that is damaged, or that is not what its name says, is
set aside under another name, never deleted.
"""

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

METADATA = "metadata"  # the entry that holds the JSON text

Warn = Callable[[str], None]  # takes one sentence for the user


class FileError(OSError):
    """A file that is there and cannot be used; the message is one sentence with the remedy."""


def write(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Write a file that a reader finds whole or not at all, even after a power cut.

    Raises ValueError for an array of Python objects, which only a pickle could hold, and FileError where the folder
    cannot be written; an older file of that name then stays as it was.
    """

    def write_archive(file: BinaryIO) -> None:
        about = {}
        with zipfile.ZipFile(file, "w") as archive:  # numpy.savez would also do, but it falls back on pickles
            for name, values in arrays.items():
                array = np.asanyarray(values)
                digest = _write_member(archive, name, array)
                about[name] = {"shape": array.shape, "dtype": str(array.dtype), "sha256": digest}
            _write_member(archive, METADATA, np.array(json.dumps({**metadata, "arrays": about})))

    try:
        atomic_write(path, write_archive)
    except OSError as problem:
        raise FileError(
            f"The folder {path.parent} cannot be written ({problem.strerror or problem}); make room there, or choose "
            "another with --out. Files that it holds are as they were."
        ) from None


class _Digesting:
    """A file that digests what is written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def write(self, content: bytes) -> None:
        self.digest.update(content)
        self.file.write(content)


def _write_member(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> str:
    """Add an array to the archive; the digest of all that stands for it there, its header included."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
        member = _Digesting(entry)
        np.lib.format.write_array(member, array, allow_pickle=False)  # type: ignore[arg-type]
    return member.digest.hexdigest()


def _read_member(archive: zipfile.ZipFile, name: str, digest: str) -> np.ndarray:
    """The array of that name. Raises ValueError, before its header is believed, if it is not what was written."""
    with archive.open(f"{name}.npy") as member:
        if hashlib.file_digest(member, "sha256").hexdigest() != digest:  # type: ignore[arg-type]
            raise ValueError("another digest")
    with archive.open(f"{name}.npy") as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _read_metadata(archive: zipfile.ZipFile, size: int) -> dict[str, Any]:
    """The metadata of an archive of `size` bytes; whatever is raised means damage.

    The text is read whole, so its checksum is compared. A file has the names of the arrays twice, in two places.
    """
    for member in archive.infolist():
        if member.compress_type != zipfile.ZIP_STORED or member.file_size > size:  # nothing is unpacked or reserved
            raise ValueError("not a file of ours")
    text = np.lib.format.read_array(io.BytesIO(archive.read(f"{METADATA}.npy")), allow_pickle=False)
    metadata: dict[str, Any] = json.loads(str(text))
    if {f"{name}.npy" for name in (*metadata["arrays"], METADATA)} != set(archive.namelist()):
        raise ValueError("arrays are missing")
    return metadata


def remove_unfinished(folder: Path) -> None:
    """Remove what processes left that were killed while writing a result or a checkpoint, a day after they did."""
    atomic_files.remove_unfinished(folder, "*.npz")


def read(
    path: Path, expected: Mapping[str, Any], warn: Warn, *, metadata_only: bool = False, look_only: bool = False
) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """The arrays and the metadata of `path`, whose metadata must say what `expected` says.

    None where there is no such file, or where it is damaged or says something else: then it is set aside, or with
    `look_only` left as it is, with a warning in both cases. Raises FileError where it cannot be opened.
    With `metadata_only` no array is read, nor is it known then whether they are damaged.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise FileError(f"{path} cannot be read ({problem.strerror}); move it away or make it readable.") from None
    refusal, ending = "", "set-aside"
    with file:
        try:
            with zipfile.ZipFile(file) as archive:
                metadata = _read_metadata(archive, os.fstat(file.fileno()).st_size)
                different = sorted(name for name in expected if metadata.get(name) != expected[name])
                about = {} if metadata_only or different else metadata["arrays"]
                arrays = {name: _read_member(archive, name, about[name]["sha256"]) for name in about}
        except MemoryError:  # which says nothing of the file
            raise
        except Exception:  # noqa: BLE001 - damage surfaces as almost any error
            refusal, ending = "it is damaged", "damaged"
        else:
            refusal = f"it was made for other {', '.join(different)}" if different else ""
    if refusal:
        refuse(path, refusal, warn, look_only, ending)
        return None
    return arrays, metadata


def refuse(path: Path, reason: str, warn: Warn, look_only: bool, ending: str = "set-aside") -> None:
    """Say that `path` is of no use, and unless we only look, set it aside."""
    if look_only:
        warn(f"{path} is left out: {reason}.")
    else:
        set_aside(path, reason, warn, ending)


def set_aside(path: Path, reason: str, warn: Warn, ending: str = "set-aside") -> None:
    """Rename `path`, so that it is in nobody's way and can still be looked at. Raises FileError where that fails."""
    aside, number = path.with_name(f"{path.name}.{ending}"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.{ending}-{number}")
    try:
        path.rename(aside)
    except FileNotFoundError:  # another command did it
        return
    except OSError as problem:
        raise FileError(f"{path} cannot be set aside, though {reason} ({problem.strerror}); move it away.") from None
    warn(f"{path} is set aside as {aside.name} and its work is done again: {reason}.")
