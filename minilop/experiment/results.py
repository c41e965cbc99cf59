"""Results: one file per run, written once and read to draw figures."""

import platform
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import minilop
from minilop.experiment import archive
from minilop.experiment.archive import Warn
from minilop.experiment.settings import RESULTS_FORMAT, Experiment, scale_label

FILE_NAME = re.compile(  # of results and checkpoints: problem, learner, first seed, fingerprint
    r"(\w+)-(.+)-s(\d+)(?:to\d+\.[0-9a-f]+)?-([0-9a-f]{10})(?:\.\w+\.checkpoint)?\.npz"
)
MOST_FILES = 3  # opened to detect results of an older format


def result_path(folder: Path, experiment: Experiment, seed: int) -> Path:
    """`<problem>-<learner>-s<seed>-<fingerprint>.npz`; the name determines the content."""
    return folder / f"{experiment.problem}-{experiment.learner}-s{seed}-{experiment.fingerprint}.npz"


def write_result(
    folder: Path, experiment: Experiment, seed: int, arrays: Mapping[str, np.ndarray], provenance: Mapping[str, Any]
) -> None:
    """Write the arrays of one run with its settings and its `provenance` (backend, seconds, ...).

    Raises ValueError for an array of Python objects and FileError if the folder cannot be written.
    """
    metadata = {
        **_expected(experiment, seed),
        "scale": scale_label([experiment]),
        "dtype": experiment.learner_settings.dtype,
        "minilop_version": minilop.__version__,
        "numpy_version": np.__version__,
        "python_version": platform.python_version(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "diverged": divergence(arrays),
        **provenance,
    }
    archive.write(result_path(folder, experiment, seed), arrays, metadata)


def read_result(
    folder: Path, experiment: Experiment, seed: int, warn: Warn, look_only: bool = False, metadata_only: bool = False
) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """The arrays, none if `metadata_only`, and the metadata of a finished run, or None if there is no usable file.

    Sets an unusable file aside, or only warns about it if `look_only`. Raises FileError if a file cannot be read.
    """
    path, expected = result_path(folder, experiment, seed), _expected(experiment, seed)
    return archive.read(path, expected, warn, look_only=look_only, metadata_only=metadata_only)


def older_results(folder: Path, runs: Iterable[tuple[Experiment, Sequence[int]]]) -> str:
    """A sentence if `folder` holds results or checkpoints of these runs in an older format, which are not read; or "".

    runs   experiments, each with its seeds

    Opens only the oldest few candidates, and changes none.
    """
    wanted = {(one.problem, one.learner): (one.fingerprint, seeds) for one, seeds in runs}
    found = []
    for path in folder.glob("*.npz"):
        if match := FILE_NAME.fullmatch(path.name):
            fingerprint, seeds = wanted.get((match[1], match[2]), ("", ()))
            if int(match[3]) in seeds and match[4] != fingerprint:
                found.append(path)
    try:
        for path in sorted(found, key=lambda path: path.stat().st_mtime)[:MOST_FILES]:
            content = archive.read(path, {}, lambda sentence: None, metadata_only=True, look_only=True)
            number = content[1].get("format") if content is not None else None
            if isinstance(number, int) and number < RESULTS_FORMAT:
                return (
                    f"{folder} holds files of the older results format {number}, made by an earlier minilop; they "
                    "are not read and remain unchanged."
                )
    except OSError:  # another command has just moved a file; files that are needed are checked elsewhere
        pass
    return ""


def divergence(arrays: Mapping[str, np.ndarray]) -> str:
    """What diverged, according to the arrays named `diverged_at`: "1 of 3 diverged, the first at 700"; or "".

    If a learner compares several values of a setting, each value of each run counts: "4 of 6 in compared diverged".
    """
    sentences = []
    for name, steps in arrays.items():
        part, _, measure = name.rpartition(".")
        if measure != "diverged_at":
            continue
        diverged = steps[steps >= 0]
        if diverged.size:
            where = f" in {part}" if part else ""
            sentences.append(f"{diverged.size} of {steps.size}{where} diverged, the first at {diverged.min():,}")
    return "; ".join(sentences)


def _expected(experiment: Experiment, seed: int) -> dict[str, Any]:
    return {"kind": "result", **experiment.identity(), "seed": seed}


@dataclass(frozen=True)
class LearnerResults:
    """The finished runs of one learner, in the order of their seeds."""

    arrays: Mapping[str, np.ndarray]  # each (R, ...)
    metadata: Sequence[Mapping[str, Any]]  # one per run

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    @property
    def num_runs(self) -> int:
        return len(self.metadata)


@dataclass(frozen=True)
class ResultSet:
    """The results of a problem, for its figures. Learners without a finished run are not in `learners`."""

    problem: str
    scale: str  # with the changes of its settings
    settings: Any  # the problem's settings
    learners: Mapping[str, LearnerResults]  # in the order of the problem

    def __getitem__(self, learner: str) -> LearnerResults:
        return self.learners[learner]

    def with_curves(self, change: Callable[[np.ndarray], np.ndarray]) -> "ResultSet":
        """These results with `change` applied to all curves (R, T), but not to arrays with one number per run."""
        learners = {}
        for name, learner in self.learners.items():
            arrays = {measure: change(array) if array.ndim > 1 else array for measure, array in learner.arrays.items()}
            learners[name] = replace(learner, arrays=arrays)
        return replace(self, learners=learners)


def load_results(folder: Path, experiments: Sequence[Experiment], seeds: Sequence[int], warn: Warn) -> ResultSet:
    """The finished runs among `seeds` of the experiments of one problem.

    Changes no file. Raises ValueError if the runs of a learner have arrays of different names or shapes, and FileError
    if a file cannot be read.
    """
    learners = {}
    for experiment in experiments:
        found = [read_result(folder, experiment, seed, warn, look_only=True) for seed in seeds]
        finished = [result for result in found if result is not None]
        if finished:
            shapes = {tuple(sorted((name, array.shape) for name, array in arrays.items())) for arrays, _ in finished}
            if len(shapes) > 1:
                raise ValueError(
                    f"The runs of {experiment.learner} hold different arrays, perhaps of two versions of minilop; "
                    f"move its older files in {folder} away."
                )
            stacked = {name: np.stack([arrays[name] for arrays, _ in finished]) for name in finished[0][0]}  # (R, ...)
            learners[experiment.learner] = LearnerResults(stacked, [metadata for _, metadata in finished])
    first = experiments[0]
    shown = [experiment for experiment in experiments if experiment.learner in learners] or experiments
    return ResultSet(first.problem, scale_label(shown), first.problem_settings, learners)
