"""Checkpoints: the state of an unfinished block, so that an interrupted command continues bit for bit.

The runs of a block advance together, so their state is one file. Its name contains the experiment, the seeds and the
backend, since another backend would give different bits. It is removed when the results of all its runs are written.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minilop.experiment import archive
from minilop.experiment.archive import Warn
from minilop.experiment.settings import Experiment


@dataclass(frozen=True)
class Partial:
    """The runs in a checkpoint and their progress."""

    seeds: tuple[int, ...]
    progress: float


def checkpoint_path(folder: Path, experiment: Experiment, seeds: Sequence[int], backend: str) -> Path:
    """The name contains the first and the last seed and a digest of all, since all seeds would make it too long."""
    digest = hashlib.sha256(repr(list(seeds)).encode()).hexdigest()[:6]
    return folder / _name(experiment, f"{seeds[0]}to{seeds[-1]}.{digest}", backend)


def _name(experiment: Experiment, seeds: str, backend: str) -> str:
    return f"{experiment.problem}-{experiment.learner}-s{seeds}-{experiment.fingerprint}.{backend}.checkpoint.npz"


def _expected(experiment: Experiment, backend: str) -> dict[str, Any]:
    return {"kind": "checkpoint", **experiment.identity(), "backend": backend}


def save_checkpoint(
    folder: Path,
    experiment: Experiment,
    seeds: Sequence[int],
    backend: str,
    state: Mapping[str, np.ndarray],
    progress: float,
    seconds: float,
) -> None:
    """Write or replace the checkpoint of a block; `seconds` is the time spent on the block so far.

    Raises FileError if the folder cannot be written; the older checkpoint then remains.
    """
    metadata = {
        **_expected(experiment, backend),
        "seeds": list(seeds),
        "progress": progress,
        "seconds": seconds,
    }
    archive.write(checkpoint_path(folder, experiment, seeds, backend), state, metadata)


def load_checkpoint(
    folder: Path, experiment: Experiment, seeds: Sequence[int], backend: str, warn: Warn
) -> tuple[dict[str, np.ndarray], float, float] | None:
    """The state of a block, its progress and the seconds spent on it, or None if there is no usable checkpoint.

    Sets unusable files aside.
    """
    path = checkpoint_path(folder, experiment, seeds, backend)
    found = archive.read(path, {**_expected(experiment, backend), "seeds": list(seeds)}, warn)
    if found is None or not _is_possible(path, found[1], warn, look_only=False):
        return None
    return found[0], found[1]["progress"], found[1]["seconds"]


def _is_possible(path: Path, metadata: Mapping[str, Any], warn: Warn, look_only: bool) -> bool:
    """Whether the metadata have possible values; otherwise refuses the file."""
    seeds = metadata.get("seeds")
    are_seeds = isinstance(seeds, list) and bool(seeds) and all(type(seed) is int and seed >= 0 for seed in seeds)
    if not (are_seeds and _is_within(metadata.get("progress"), 1.0) and _is_within(metadata.get("seconds"), math.inf)):
        archive.refuse(path, "its seeds, its progress or its time have impossible values", warn, look_only)
        return False
    return True


def _is_within(value: Any, limit: float) -> bool:
    return type(value) in (int, float) and bool(0 <= value < limit)


def find_checkpoints(
    folder: Path, experiment: Experiment, backend: str, warn: Warn, look_only: bool = False
) -> list[Partial]:
    """The blocks of an experiment that have a checkpoint, in the order of decreasing progress. Reads only metadata.

    Sets unusable files aside, or only warns about them if `look_only`.
    """
    partials = []
    for path in sorted(folder.glob(_name(experiment, "*", backend))):
        found = archive.read(path, _expected(experiment, backend), warn, metadata_only=True, look_only=look_only)
        if found is None or not _is_possible(path, found[1], warn, look_only):
            continue
        seeds = tuple(found[1]["seeds"])
        if checkpoint_path(folder, experiment, seeds, backend) == path:
            partials.append(Partial(seeds, found[1]["progress"]))
        else:
            archive.refuse(path, "its seeds differ from those in its name", warn, look_only)
    return sorted(partials, key=lambda partial: partial.progress, reverse=True)


def remove_checkpoint(folder: Path, experiment: Experiment, seeds: Sequence[int], backend: str) -> None:
    """Remove the checkpoint of a block, and temporary files that killed processes have left."""
    checkpoint_path(folder, experiment, seeds, backend).unlink(missing_ok=True)
    archive.remove_unfinished(folder)
