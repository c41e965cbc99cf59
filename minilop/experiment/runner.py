"""Doing one block of runs: begin or resume, advance, write a checkpoint every half minute, and results at the end."""

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
from minilop.experiment import archive
from minilop.experiment.archive import Warn
from minilop.experiment.blocks import Block, remove_done_checkpoints
from minilop.experiment.checkpoints import checkpoint_path, load_checkpoint, remove_checkpoint, save_checkpoint
from minilop.experiment.memory import keep_freed_memory
from minilop.experiment.problem import Problem, Runs
from minilop.experiment.results import divergence, read_result, write_result
from minilop.experiment.settings import Experiment, SettingsError


class Interrupted(Exception):
    """SIGINT or SIGTERM has arrived, and what was reached until then is in a checkpoint."""


@dataclass
class Stop:
    """How often this process was asked to stop."""

    requests: int = 0
    counted: float = -math.inf  # when the last request was

    def __call__(self, signal_number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self.counted > 1.0:  # some tools signal the process and its group: that is one request
            self.requests += 1
            self.counted = now


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Within it SIGINT and SIGTERM only count up `Stop.requests`, so that a step is never cut in two."""
    stop = Stop()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class Workplace:
    """What a block needs besides its settings; nothing of it changes a result's name."""

    folder: Path  # for results and checkpoints
    backend: str = "numpy"
    data_folder: Path | None = None
    checkpoint_seconds: float = 30.0


def run_block(block: Block, workplace: Workplace, report: Callable[[float], None], warn: Warn, stop: Stop) -> str:
    """Begin or go on with a block, advance it to its end and write one result per run; say what of it diverged.

    `report` is called with the progress after every small part of the work.
    Raises Interrupted after a request to stop, SettingsError where the problem refuses to start, DataError where its
    data are others than when the command began, FileError where the folder cannot be written, and whatever the problem
    raises later.
    """
    experiment, folder = block.experiment, workplace.folder
    missing = [seed for seed in block.seeds if read_result(folder, experiment, seed, warn) is None]
    if not missing:  # a process that was killed at its very end, or another command, has done it all
        remove_checkpoint(folder, experiment, block.seeds, workplace.backend)
        remove_done_checkpoints(experiment, folder, workplace.backend)
        return ""
    backend.use(workplace.backend)
    keep_freed_memory()
    with np.errstate(all="ignore"):  # a run that diverges is a result, not a warning
        began = time.monotonic()
        runs, seconds_before = _begin_or_resume(block, workplace, warn)
        saved = time.monotonic()
        while runs.progress < 1.0:
            runs.advance()
            report(runs.progress)
            stopping = stop.requests > 0
            if runs.progress < 1.0 and (stopping or time.monotonic() - saved >= workplace.checkpoint_seconds):
                seconds = seconds_before + time.monotonic() - began
                save_checkpoint(
                    folder, experiment, block.seeds, workplace.backend, runs.state(), runs.progress, seconds
                )
                saved = time.monotonic()
                if stopping:
                    raise Interrupted
        results = runs.results()
    circumstances = {
        "backend": workplace.backend,
        "block_seconds": round(seconds_before + time.monotonic() - began, 3),
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
            write_result(folder, experiment, seed, arrays, circumstances)
    remove_checkpoint(folder, experiment, block.seeds, workplace.backend)
    remove_done_checkpoints(experiment, folder, workplace.backend)
    return divergence(results)


def start_runs(experiment: Experiment, seeds: Sequence[int], data_folder: Path | None) -> Runs:
    """Begin runs of an experiment.

    Raises SettingsError for settings that the problem refuses, and DataError for data that cannot be used or are not
    those of the experiment: files may have been replaced since the command began.
    """
    problem: Problem = importlib.import_module(experiment.module)  # type: ignore[assignment]
    settings = experiment.problem_settings
    try:
        runs = problem.start(settings, experiment.learner_settings, seeds, data_folder)
        source = problem.data_source(settings, data_folder)  # only now, so that it tells what was read just before
    except DataError:
        raise
    except ValueError as mistake:  # settings that contradict each other, or data that do not fit them
        raise SettingsError(str(mistake)) from mistake
    if source != experiment.data_source:
        raise DataError(
            f"The data have changed since the command began (they were {experiment.data_source!r}, now they are "
            f"{source!r}); put the former back, or give the command again for results of the new ones."
        )
    return runs


def _begin_or_resume(block: Block, workplace: Workplace, warn: Warn) -> tuple[Runs, float]:
    """The block's runs, where its checkpoint left them if there is one, and the seconds spent on them so far."""
    experiment = block.experiment
    runs = start_runs(experiment, block.seeds, workplace.data_folder)
    checkpoint = load_checkpoint(workplace.folder, experiment, block.seeds, workplace.backend, warn)
    if checkpoint is None:
        return runs, 0.0
    state, progress, seconds = checkpoint
    try:
        if any(state[name].dtype != array.dtype for name, array in runs.state().items()):
            raise ValueError("an array has another type")
        runs.restore(state)
        if runs.progress != progress:
            raise ValueError("it is elsewhere than it says")
    except (LookupError, ValueError, TypeError, ArithmeticError, AttributeError):
        path = checkpoint_path(workplace.folder, experiment, block.seeds, workplace.backend)
        archive.set_aside(path, "it does not fit this problem", warn)
        return start_runs(experiment, block.seeds, workplace.data_folder), 0.0  # the first may be half restored
    return runs, seconds
