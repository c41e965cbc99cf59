"""Results: one file per run, written once and never computed again; and the reading side for figures."""

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

FILE_NAME = re.compile(  # of a result or a checkpoint: problem, learner, first seed and fingerprint
    r"(\w+)-(.+)-s(\d+)(?:to\d+\.[0-9a-f]+)?-([0-9a-f]{10})(?:\.\w+\.checkpoint)?\.npz"
)
MOST_FILES = 3  # that are opened to find out whether a folder holds results of an older format


def result_path(folder: Path, experiment: Experiment, seed: int) -> Path:
    """`<problem>-<learner>-s<seed>-<fingerprint>.npz`: the name says all that decides the content."""
    return folder / f"{experiment.problem}-{experiment.learner}-s{seed}-{experiment.fingerprint}.npz"


def write_result(
    folder: Path, experiment: Experiment, seed: int, arrays: Mapping[str, np.ndarray], circumstances: Mapping[str, Any]
) -> None:
    """Write one run's arrays with its settings and, under `circumstances`, how it came about (backend, seconds, ...).

    Raises ValueError for an array of Python objects and FileError where the folder cannot be written.
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
        **circumstances,
    }
    archive.write(result_path(folder, experiment, seed), arrays, metadata)


def read_result(
    folder: Path, experiment: Experiment, seed: int, warn: Warn, look_only: bool = False, metadata_only: bool = False
) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """The arrays and metadata of a finished run, or None; with `metadata_only` no arrays.

    A damaged or foreign file is set aside, or with `look_only` only told of. Raises FileError where it cannot be read.
    """
    path, expected = result_path(folder, experiment, seed), _expected(experiment, seed)
    return archive.read(path, expected, warn, look_only=look_only, metadata_only=metadata_only)


def older_results(folder: Path, runs: Iterable[tuple[Experiment, Sequence[int]]]) -> str:
    """A sentence if `folder` holds results or checkpoints of an older format of these runs, which stay unread; or "".

    runs   experiments, each with its seeds

    Only the oldest few of the files that may be older are opened, and none is changed.
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
                    f"{folder} holds files of the older results format {number}, made by an earlier "
                    "minilop; they are left as they are and not read."
                )
    except OSError:  # some other command has just moved one; whoever needs a file that cannot be read says so
        pass
    return ""


def divergence(arrays: Mapping[str, np.ndarray]) -> str:
    """What diverged, as the arrays named `diverged_at` tell it: "1 of 3 diverged, the first at 700"; "" for nothing.

    Of a learner with several values side by side every value of every run counts: "4 of 6 in compared diverged, ...".
    """
    told = []
    for name, places in arrays.items():
        part, _, measure = name.rpartition(".")
        if measure != "diverged_at":
            continue
        diverged = places[places >= 0]
        if diverged.size:
            where = f" in {part}" if part else ""
            told.append(f"{diverged.size} of {places.size}{where} diverged, the first at {diverged.min():,}")
    return "; ".join(told)


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
    """What a problem's figures are drawn from. A learner without a finished run is not in `learners`."""

    problem: str
    scale: str  # with what was changed of its settings
    settings: Any  # the problem's settings
    learners: Mapping[str, LearnerResults]  # in the order of the problem's file

    def __getitem__(self, learner: str) -> LearnerResults:
        return self.learners[learner]

    def with_curves(self, change: Callable[[np.ndarray], np.ndarray]) -> "ResultSet":
        """These results with every curve (R, T) replaced by `change` of it; what is one number a run stays."""
        learners = {}
        for name, learner in self.learners.items():
            arrays = {measure: change(array) if array.ndim > 1 else array for measure, array in learner.arrays.items()}
            learners[name] = replace(learner, arrays=arrays)
        return replace(self, learners=learners)


def load_results(folder: Path, experiments: Sequence[Experiment], seeds: Sequence[int], warn: Warn) -> ResultSet:
    """The finished runs among `seeds` of the learners of one problem, each `experiments` with its very settings.

    No file is changed. Raises ValueError where the runs of a learner measured arrays of different names or shapes, and
    FileError where a file cannot be read.
    """
    learners = {}
    for experiment in experiments:
        found = [read_result(folder, experiment, seed, warn, look_only=True) for seed in seeds]
        finished = [result for result in found if result is not None]
        if finished:
            shapes = {tuple(sorted((name, array.shape) for name, array in arrays.items())) for arrays, _ in finished}
            if len(shapes) > 1:
                raise ValueError(
                    f"The runs of {experiment.learner} hold different arrays, perhaps of another version of minilop; "
                    f"move its older files in {folder} away."
                )
            stacked = {name: np.stack([arrays[name] for arrays, _ in finished]) for name in finished[0][0]}  # (R, ...)
            learners[experiment.learner] = LearnerResults(stacked, [metadata for _, metadata in finished])
    first = experiments[0]
    shown = [experiment for experiment in experiments if experiment.learner in learners] or experiments
    return ResultSet(first.problem, scale_label(shown), first.problem_settings, learners)
