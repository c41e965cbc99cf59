"""Checkpoints: the state of a block of runs on its way, so that an interrupted command goes on bit for bit.

A block's runs advance in one array program, so their state is one file. Its name tells the experiment, the seeds and
the backend, which another one could not go on from bit for bit; it is removed only when the results of all its runs are
written.
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
    """What a checkpoint holds: which runs, and how far they are."""

    seeds: tuple[int, ...]
    progress: float


def checkpoint_path(folder: Path, experiment: Experiment, seeds: Sequence[int], backend: str) -> Path:
    """Named by the first and last seed, and by a digest of them all: thirty seeds are too many for a file's name."""
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
    """Replace the block's checkpoint; `seconds` is the time that was spent on it so far.

    Raises FileError where the folder cannot be written; the older checkpoint then stays.
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
    """The state of a block, its progress and the seconds spent on it, or None.

    A file that is damaged, foreign or impossible is set aside.
    """
    path = checkpoint_path(folder, experiment, seeds, backend)
    found = archive.read(path, {**_expected(experiment, backend), "seeds": list(seeds)}, warn)
    if found is None or not _is_possible(path, found[1], warn, look_only=False):
        return None
    return found[0], found[1]["progress"], found[1]["seconds"]


def _is_possible(path: Path, metadata: Mapping[str, Any], warn: Warn, look_only: bool) -> bool:
    """Whether the metadata say what those of a checkpoint can say; if not, it is refused."""
    seeds = metadata.get("seeds")
    are_seeds = isinstance(seeds, list) and bool(seeds) and all(type(seed) is int and seed >= 0 for seed in seeds)
    if not (are_seeds and _is_within(metadata.get("progress"), 1.0) and _is_within(metadata.get("seconds"), math.inf)):
        archive.refuse(path, "its seeds, its progress or its time are impossible", warn, look_only)
        return False
    return True


def _is_within(value: Any, limit: float) -> bool:
    return type(value) in (int, float) and bool(0 <= value < limit)


def find_checkpoints(
    folder: Path, experiment: Experiment, backend: str, warn: Warn, look_only: bool = False
) -> list[Partial]:
    """The blocks of an experiment that have a checkpoint, the one with most progress first; no state is read yet.

    A damaged or foreign file is set aside, or with `look_only` only told of.
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
            archive.refuse(path, "it was made for other seeds", warn, look_only)
    return sorted(partials, key=lambda partial: partial.progress, reverse=True)


def remove_checkpoint(folder: Path, experiment: Experiment, seeds: Sequence[int], backend: str) -> None:
    """Remove the block's checkpoint, and what processes left that were killed while writing."""
    checkpoint_path(folder, experiment, seeds, backend).unlink(missing_ok=True)
    archive.remove_unfinished(folder)
