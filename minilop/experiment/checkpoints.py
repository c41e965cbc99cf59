"""Checkpoints: the state of a block of runs on its way, so that an interrupted command goes on bit for bit.

A block's runs advance in one array program, so their state is one file. Its name tells the experiment and the seeds;
it is removed only when the results of all its runs are written.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minilop.experiment import archive
from minilop.experiment.archive import Warn
from minilop.experiment.settings import Experiment


@dataclass(frozen=True)
class Partial:
    """What a checkpoint holds: which runs, and how far they are."""

    seeds: tuple[int, ...]
    progress: float


def checkpoint_path(folder: Path, experiment: Experiment, seeds: Sequence[int]) -> Path:
    """Named by the first and last seed, and by a digest of them all: thirty seeds are too many for a file's name."""
    digest = hashlib.sha256(repr(list(seeds)).encode()).hexdigest()[:6]
    return folder / f"{_stem(experiment)}s{seeds[0]}to{seeds[-1]}.{digest}-{experiment.fingerprint}.checkpoint.npz"


def _stem(experiment: Experiment) -> str:
    return f"{experiment.problem}-{experiment.learner}-"


def save_checkpoint(
    folder: Path,
    experiment: Experiment,
    seeds: Sequence[int],
    state: Mapping[str, np.ndarray],
    progress: float,
    seconds: float,
) -> None:
    """Replace the block's checkpoint; `seconds` is the time that was spent on it so far.

    Raises OSError where the folder cannot be written; the older checkpoint then stays.
    """
    metadata = {
        "kind": "checkpoint",
        **experiment.identity(),
        "seeds": list(seeds),
        "progress": progress,
        "seconds": seconds,
    }
    archive.write(checkpoint_path(folder, experiment, seeds), state, metadata)


def load_checkpoint(
    folder: Path, experiment: Experiment, seeds: Sequence[int], warn: Warn
) -> tuple[dict[str, np.ndarray], float] | None:
    """The state of a block and the seconds spent on it, or None; a damaged or foreign file is set aside."""
    expected = {"kind": "checkpoint", **experiment.identity(), "seeds": list(seeds)}
    found = archive.read(checkpoint_path(folder, experiment, seeds), expected, warn)
    return None if found is None else (found[0], found[1]["seconds"])


def find_checkpoints(folder: Path, experiment: Experiment, warn: Warn) -> list[Partial]:
    """The blocks of an experiment that have a checkpoint, the one with most progress first; no state is read yet."""
    partials = []
    for path in sorted(folder.glob(f"{_stem(experiment)}s*-{experiment.fingerprint}.checkpoint.npz")):
        found = archive.read(path, {"kind": "checkpoint", **experiment.identity()}, warn, metadata_only=True)
        if found is None:
            continue
        seeds = tuple(found[1]["seeds"])
        if checkpoint_path(folder, experiment, seeds) == path:
            partials.append(Partial(seeds, found[1]["progress"]))
        else:
            archive.set_aside(path, "it was made for other seeds", warn)
    return sorted(partials, key=lambda partial: partial.progress, reverse=True)


def remove_checkpoint(folder: Path, experiment: Experiment, seeds: Sequence[int]) -> None:
    """Remove the block's checkpoint, and what a process left that was killed while writing it."""
    path = checkpoint_path(folder, experiment, seeds)
    path.unlink(missing_ok=True)
    for unfinished in folder.glob(f"{path.name}.*.tmp"):
        unfinished.unlink(missing_ok=True)
