"""Runs one block: start or resume it, advance, write a checkpoint every half minute, and write results at the end."""

import importlib
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np

from minilop import backend
from minilop.data.errors import DataError
from minilop.data.fingerprints import check_source
from minilop.experiment import archive
from minilop.experiment.archive import Warn
from minilop.experiment.blocks import Block, remove_done_checkpoints
from minilop.experiment.checkpoints import checkpoint_path, load_checkpoint, remove_checkpoint, save_checkpoint
from minilop.experiment.memory import keep_freed_memory
from minilop.experiment.problem import Problem, Runs
from minilop.experiment.results import divergence, read_result, write_result
from minilop.experiment.settings import Experiment, SettingsError


class Interrupted(Exception):
    """SIGINT or SIGTERM has arrived, and completed work is in a checkpoint."""


@dataclass
class Stop:
    """Counts the requests to stop this process."""

    requests: int = 0
    counted: float = -math.inf  # time of the last request

    def __call__(self, signal_number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self.counted > 1.0:  # some tools signal the process and its group, which is one request
            self.requests += 1
            self.counted = now


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Context in which SIGINT and SIGTERM only increment `Stop.requests`, so that no step is interrupted."""
    stop = Stop()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class RunContext:
    """Where and how a block runs; the names of results do not depend on it."""

    folder: Path  # for results and checkpoints
    backend: str = "numpy"
    data_folder: Path | None = None
    checkpoint_seconds: float = 30.0


def run_block(block: Block, context: RunContext, report: Callable[[float], None], warn: Warn, stop: Stop) -> str:
    """Start or resume a block, advance it to its end, and write one result per run. Returns what diverged.

    report   called with the progress after each small part of the work

    Raises Interrupted after a request to stop, SettingsError if the problem does not start, DataError if its data have
    changed since the command started, FileError if the folder cannot be written, and what the problem raises later.
    """
    experiment, folder = block.experiment, context.folder
    missing = [seed for seed in block.seeds if read_result(folder, experiment, seed, warn) is None]
    if not missing:  # done by a process that was killed at its end, or by another command
        remove_checkpoint(folder, experiment, block.seeds, context.backend)
        remove_done_checkpoints(experiment, folder, context.backend)
        return ""
    backend.use(context.backend)
    keep_freed_memory()
    with np.errstate(all="ignore"):  # divergence is a result, not a reason for a warning
        start_time = time.monotonic()
        runs, seconds_before = _start_or_resume(block, context, warn)
        saved = time.monotonic()
        while runs.progress < 1.0:
            runs.advance()
            report(runs.progress)
            stopping = stop.requests > 0
            if runs.progress < 1.0 and (stopping or time.monotonic() - saved >= context.checkpoint_seconds):
                seconds = seconds_before + time.monotonic() - start_time
                save_checkpoint(folder, experiment, block.seeds, context.backend, runs.state(), runs.progress, seconds)
                saved = time.monotonic()
                if stopping:
                    raise Interrupted
        results = runs.results()
    provenance = {
        "backend": context.backend,
        "block_seconds": round(seconds_before + time.monotonic() - start_time, 3),
        "block_runs": len(block.seeds),
    }
    for name, array in results.items():
        if array.shape[:1] != (len(block.seeds),):
            raise ValueError(
                f"The result {name!r} must have one entry per run ({len(block.seeds)}), not {array.shape}."
            )
    for row, seed in enumerate(block.seeds):
        if seed in missing:
            arrays = {name: array[row] for name, array in results.items()}
            write_result(folder, experiment, seed, arrays, provenance)
    remove_checkpoint(folder, experiment, block.seeds, context.backend)
    remove_done_checkpoints(experiment, folder, context.backend)
    return divergence(results)


def start_runs(experiment: Experiment, seeds: Sequence[int], data_folder: Path | None) -> Runs:
    """Start runs of an experiment.

    Raises SettingsError for settings that the problem refuses, and DataError for data that cannot be used or have
    changed since the command started.
    """
    problem: Problem = importlib.import_module(experiment.module)  # type: ignore[assignment]
    settings = experiment.problem_settings
    try:
        runs = problem.start(settings, experiment.learner_settings, seeds, data_folder)
        source = problem.data_source(settings, data_folder)  # read again, after the data that the runs use
    except DataError:
        raise
    except ValueError as mistake:  # incompatible settings, or data that do not fit them
        raise SettingsError(str(mistake)) from mistake
    check_source(experiment.data_source, source)
    return runs


def _start_or_resume(block: Block, context: RunContext, warn: Warn) -> tuple[Runs, float]:
    """The runs of the block, resumed from its checkpoint if there is one, and the seconds spent on them so far."""
    experiment = block.experiment
    runs = start_runs(experiment, block.seeds, context.data_folder)
    checkpoint = load_checkpoint(context.folder, experiment, block.seeds, context.backend, warn)
    if checkpoint is None:
        return runs, 0.0
    state, progress, seconds = checkpoint
    try:
        if any(state[name].dtype != array.dtype for name, array in runs.state().items()):
            raise ValueError("an array has another type")
        runs.restore(state)
        if runs.progress != progress:
            raise ValueError("its progress differs from the metadata")
    except (LookupError, ValueError, TypeError, ArithmeticError, AttributeError):
        path = checkpoint_path(context.folder, experiment, block.seeds, context.backend)
        archive.set_aside(path, "it does not fit this problem", warn)
        return start_runs(experiment, block.seeds, context.data_folder), 0.0  # the runs may be partly restored
    return runs, seconds
