"""Files that are whole or absent: arrays and a line of JSON in one `.npz`, never a pickle.

Results and checkpoints are both such files. A file that is damaged, or that is not what its name says, is set aside
under another name, never deleted.
"""

import json
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

METADATA = "metadata"  # the entry that holds the JSON text

Warn = Callable[[str], None]  # takes one sentence for the user


def write(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Write a file that a reader finds whole or not at all, even after a power cut.

    Raises ValueError for an array of Python objects, which only a pickle could hold, and OSError where the folder
    cannot be written; an older file of that name then stays as it was.
    """
    text = np.array(json.dumps({**metadata, "arrays": sorted(arrays)}))
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")  # two commands in one folder do not share it
    try:
        with temporary.open("wb") as file:
            with zipfile.ZipFile(file, "w") as archive:  # numpy.savez would also do, but it falls back on pickles
                for name, array in {**arrays, METADATA: text}.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                        np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """The new name lives in the folder, which is written apart from the file."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows has no such call
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(
    path: Path, expected: Mapping[str, Any], warn: Warn, metadata_only: bool = False
) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """The arrays and the metadata of `path`, whose metadata must say what `expected` says.

    None where there is no such file, or where it is damaged or says something else: then it is set aside.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
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
            set_aside(path, f"it is damaged ({type(problem).__name__})", warn)
            return None
    if different:
        set_aside(path, f"it was made for other {', '.join(different)}", warn)
        return None
    return arrays, metadata


def set_aside(path: Path, reason: str, warn: Warn) -> None:
    """Rename `path`, so that it is in nobody's way and can still be looked at."""
    aside, number = path.with_name(f"{path.name}.set-aside"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.set-aside-{number}")
    path.rename(aside)
    warn(f"{path} is set aside as {aside.name} and its work is done again: {reason}.")
