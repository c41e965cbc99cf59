"""Files that are whole or absent: arrays and a line of JSON in one `.npz`, never a pickle.

Results and checkpoints are both such files. A file that is damaged, or that is not what its name says, is set aside
under another name, never deleted.
"""

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minilop.data import atomic_files
from minilop.data.atomic_files import atomic_write

METADATA = "metadata"  # the entry that holds the JSON text

Warn = Callable[[str], None]  # takes one sentence for the user


class FileError(OSError):
    """A file that is there and cannot be used; the message is one sentence with the remedy."""


def write(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Write a file that a reader finds whole or not at all, even after a power cut.

    Raises ValueError for an array of Python objects, which only a pickle could hold, and OSError where the folder
    cannot be written; an older file of that name then stays as it was.
    """
    text = np.array(json.dumps({**metadata, "arrays": sorted(arrays)}))

    def write_archive(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w") as archive:  # numpy.savez would also do, but it falls back on pickles
            for name, array in {**arrays, METADATA: text}.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)

    atomic_write(path, write_archive)


def remove_unfinished(folder: Path) -> None:
    """Remove what processes left that were killed while writing a result or a checkpoint, a day after they did."""
    atomic_files.remove_unfinished(folder, "*.npz")


def read(
    path: Path, expected: Mapping[str, Any], warn: Warn, *, metadata_only: bool = False, look_only: bool = False
) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """The arrays and the metadata of `path`, whose metadata must say what `expected` says.

    None where there is no such file, or where it is damaged or says something else: then it is set aside, or with
    `look_only` left as it is, with a warning in both cases. Raises FileError where it cannot be opened.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise FileError(f"{path} cannot be read ({problem.strerror}); move it away or make it readable.") from None
    with file:
        try:
            archive = np.load(file, allow_pickle=False)
            metadata = json.loads(str(archive[METADATA]))
            names = set(archive.files) - {METADATA}
            if names != set(metadata["arrays"]):
                raise ValueError("arrays are missing")
            different = sorted(name for name in expected if metadata.get(name) != expected[name])
            arrays = {} if metadata_only else {name: archive[name] for name in names}
        except Exception as problem:  # noqa: BLE001 - damage surfaces as almost any error
            refusal = f"it is damaged ({type(problem).__name__})"
        else:
            refusal = f"it was made for other {', '.join(different)}" if different else ""
    if refusal:
        refuse(path, refusal, warn, look_only)
        return None
    return arrays, metadata


def refuse(path: Path, reason: str, warn: Warn, look_only: bool) -> None:
    """Say that `path` is of no use, and unless we only look, set it aside."""
    if look_only:
        warn(f"{path} is left out: {reason}.")
    else:
        set_aside(path, reason, warn)


def set_aside(path: Path, reason: str, warn: Warn) -> None:
    """Rename `path`, so that it is in nobody's way and can still be looked at. Raises FileError where that fails."""
    aside, number = path.with_name(f"{path.name}.set-aside"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.set-aside-{number}")
    try:
        path.rename(aside)
    except OSError as problem:
        raise FileError(f"{path} cannot be set aside, though {reason} ({problem.strerror}); move it away.") from None
    warn(f"{path} is set aside as {aside.name} and its work is done again: {reason}.")
