"""Determines which runs remain, and divides them into blocks.

A block is a set of runs of one experiment that advance together in one process.
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
    """Runs of one experiment that advance together."""

    experiment: Experiment
    seeds: tuple[int, ...]
    seconds: float  # estimate of the time left on one core
    progress: float = 0.0  # of its checkpoint
    tried_before: bool = False  # whether it has failed in this command

    @property
    def key(self) -> tuple[str, str, tuple[int, ...]]:
        """Identifies the block in its command."""
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
    """Which runs of an experiment are done, started and missing."""

    experiment: Experiment
    done: tuple[int, ...]  # seeds
    partial: tuple[Partial, ...]
    missing: tuple[int, ...]  # seeds neither done nor in a checkpoint
    diverged: tuple[int, ...] = ()  # seeds that are done and diverged

    @property
    def partial_seeds(self) -> tuple[int, ...]:
        """Seeds in checkpoints, except those that are done: a block may be killed while it writes its results."""
        return tuple(seed for partial in self.partial for seed in partial.seeds if seed not in self.done)


def take_stock(
    experiment: Experiment, seeds: Sequence[int], folder: Path, backend: str, warn: Warn, look_only: bool = False
) -> Standing:
    """Find out which of `seeds` are done and which have a checkpoint of `backend`.

    A checkpoint is used if all its runs are wanted, so changing the number of processes loses no work. It is removed
    if all its runs are done. If `look_only`, no file is removed or renamed, and only metadata are read. Raises
    FileError if a file cannot be read.
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
    """Remove the checkpoints of an experiment whose runs are all done, by this shard or by others.

    Ignores unusable files.
    """
    with contextlib.suppress(FileError):
        for checkpoint in find_checkpoints(folder, experiment, backend, lambda sentence: None, look_only=True):
            if all(result_path(folder, experiment, seed).exists() for seed in checkpoint.seeds):
                remove_checkpoint(folder, experiment, checkpoint.seeds, backend)


def divide(standings: Sequence[Standing], scale: Scale, processes: int) -> list[Block]:
    """The remaining blocks of the experiments of one problem, the longest first.

    Each checkpoint is one block. The missing runs are divided into blocks of at most `scale.block` runs, or smaller
    blocks if there would be fewer blocks than processes.
    """
    seconds_per_run = scale.seconds / scale.block
    wanted_per_experiment = math.ceil(processes / max(1, sum(bool(standing.missing) for standing in standings)))
    blocks = []
    for standing in standings:
        experiment, missing = standing.experiment, standing.missing
        for partial in standing.partial:
            seconds = seconds_per_run * len(partial.seeds) * (1 - partial.progress)
            blocks.append(Block(experiment, partial.seeds, seconds, partial.progress))
        num_blocks = max(math.ceil(len(missing) / scale.block), min(wanted_per_experiment, len(missing)))
        for index in range(num_blocks):
            seeds = missing[index * len(missing) // num_blocks : (index + 1) * len(missing) // num_blocks]
            blocks.append(Block(experiment, seeds, seconds_per_run * len(seeds)))
    return sorted(blocks, key=lambda block: block.seconds, reverse=True)
