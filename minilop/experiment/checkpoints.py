"""Checkpoints: the state of a block of runs on its way, so that an interrupted command goes on bit for bit.

A block's runs advance in one array program, so their state is one file. Its name tells the experiment, the seeds and
the backend, which another one could not go on from bit for bit; it is removed only when the results of all its runs are
written.
"""

import hashlib
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

    Raises OSError where the folder cannot be written; the older checkpoint then stays.
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
) -> tuple[dict[str, np.ndarray], float] | None:
    """The state of a block and the seconds spent on it, or None; a damaged or foreign file is set aside."""
    expected = {**_expected(experiment, backend), "seeds": list(seeds)}
    found = archive.read(checkpoint_path(folder, experiment, seeds, backend), expected, warn)
    return None if found is None else (found[0], found[1]["seconds"])


def find_checkpoints(
    folder: Path, experiment: Experiment, backend: str, warn: Warn, look_only: bool = False
) -> list[Partial]:
    """The blocks of an experiment that have a checkpoint, the one with most progress first; no state is read yet.

    A damaged or foreign file is set aside, or with `look_only` only told of.
    """
    partials = []
    for path in sorted(folder.glob(_name(experiment, "*", backend))):
        found = archive.read(path, _expected(experiment, backend), warn, metadata_only=True, look_only=look_only)
        if found is None:
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
