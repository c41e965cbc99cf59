"""Which runs are still to do, and in which blocks.

A block is a number of runs of one experiment that advance side by side in one process.
"""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minilop.experiment.archive import FileError, Warn
from minilop.experiment.checkpoints import Partial, find_checkpoints, remove_checkpoint
from minilop.experiment.problem import Scale
from minilop.experiment.results import read_result, result_path
from minilop.experiment.settings import Experiment


@dataclass(frozen=True)
class Block:
    """Runs of one experiment that advance side by side."""

    experiment: Experiment
    seeds: tuple[int, ...]
    seconds: float  # about what it still takes on one core
    progress: float = 0.0  # what a checkpoint already holds
    tried_before: bool = False  # in this command, and failed

    @property
    def key(self) -> tuple[str, str, tuple[int, ...]]:
        """Tells the blocks of one command apart."""
        return self.experiment.problem, self.experiment.learner, self.seeds

    def __str__(self) -> str:
        first, last = self.seeds[0], self.seeds[-1]
        if len(self.seeds) == 1:
            seeds = f"seed {first}"
        elif last - first == len(self.seeds) - 1:
            seeds = f"seeds {first} to {last}"
        else:
            seeds = f"{len(self.seeds)} of the seeds {first} to {last}"
        return f"{self.experiment.problem} {self.experiment.learner}, {seeds}"


@dataclass(frozen=True)
class Standing:
    """How far the runs of an experiment are."""

    experiment: Experiment
    done: tuple[int, ...]  # seeds
    partial: tuple[Partial, ...]
    missing: tuple[int, ...]  # seeds that are neither done nor in a checkpoint
    diverged: tuple[int, ...] = ()  # those done in which something diverged

    @property
    def partial_seeds(self) -> tuple[int, ...]:
        """Seeds on their way. A block that was killed while writing its results may have some of them done."""
        return tuple(seed for partial in self.partial for seed in partial.seeds if seed not in self.done)


def take_stock(
    experiment: Experiment, seeds: Sequence[int], folder: Path, backend: str, warn: Warn, look_only: bool = False
) -> Standing:
    """Look up which of `seeds` are done and which have a checkpoint that `backend` can go on with.

    A checkpoint is of use where all its runs are still wanted, so another number of processes loses no work; it is
    removed where all its runs are done. With `look_only` no file is removed or renamed, and only metadata are read.
    Raises FileError where a file cannot be read.
    """
    done, diverged = set(), []
    for seed in seeds:
        result = read_result(folder, experiment, seed, warn, look_only, metadata_only=look_only)
        if result is not None:
            done.add(seed)
            diverged += [seed] if result[1].get("diverged") else []
    missing = [seed for seed in seeds if seed not in done]
    if not look_only:
        remove_done_checkpoints(experiment, folder, backend)
    partial = []
    for candidate in find_checkpoints(folder, experiment, backend, warn, look_only):
        open_seeds = set(candidate.seeds) - done
        if open_seeds and open_seeds <= set(missing):
            partial.append(candidate)
            missing = [seed for seed in missing if seed not in open_seeds]
    return Standing(experiment, tuple(sorted(done)), tuple(partial), tuple(missing), tuple(diverged))


def remove_done_checkpoints(experiment: Experiment, folder: Path, backend: str) -> None:
    """Remove the checkpoints of an experiment all of whose runs are done, by this shard or by others.

    Files that are of no use are left to whoever needs them.
    """
    with contextlib.suppress(FileError):
        for checkpoint in find_checkpoints(folder, experiment, backend, lambda sentence: None, look_only=True):
            if all(result_path(folder, experiment, seed).exists() for seed in checkpoint.seeds):
                remove_checkpoint(folder, experiment, checkpoint.seeds, backend)


def divide(standings: Sequence[Standing], scale: Scale, processes: int) -> list[Block]:
    """The blocks that remain of one problem's experiments, the longest first.

    Checkpoints are gone on with as they are; the missing runs are spread over blocks of at most `scale.block`, which
    are smaller where there would be fewer blocks than processes.
    """
    seconds_per_run = scale.seconds / scale.block
    wanted_per_experiment = math.ceil(processes / max(1, sum(bool(standing.missing) for standing in standings)))
    blocks = []
    for standing in standings:
        experiment, missing = standing.experiment, standing.missing
        for partial in standing.partial:
            seconds = seconds_per_run * len(partial.seeds) * (1 - partial.progress)
            blocks.append(Block(experiment, partial.seeds, seconds, partial.progress))
        number = max(math.ceil(len(missing) / scale.block), min(wanted_per_experiment, len(missing)))
        for part in range(number):
            seeds = missing[part * len(missing) // number : (part + 1) * len(missing) // number]
            blocks.append(Block(experiment, seeds, seconds_per_run * len(seeds)))
    return sorted(blocks, key=lambda block: block.seconds, reverse=True)
