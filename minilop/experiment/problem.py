"""The interface of a problem.

A problem is a file or a folder in `problems/` with these names (the protocol `Problem`):

    TITLE          one line for `--list`
    SCALES         {"smoke": Scale, "laptop": Scale, "paper": Scale}, some with "overnight" before "paper"
    data_source    data_source(settings, data_folder) -> str
    start          start(settings, learner, seeds, data_folder) -> Runs
    figures        figures(results) -> {name: matplotlib Figure}

and optionally, for `--animate`:

    animations     animations(results) -> {name: minilop.experiment.saving.Animation}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Scale:
    """The settings of a problem at one scale: `smoke`, `laptop`, `overnight` or `paper`.

    Every problem has three of them. `overnight`, the published structure at reduced size in about an hour on two cores,
    is for the problems that need a GPU or days at `paper` scale.

    A learner is given by its settings, a frozen dataclass with a `dtype`: either `LearnerSettings`, composed of an
    optimizer, a network and rules, or a flat dataclass of the problem. Settings are compared, and pickled for worker
    processes; they need not be hashable.
    """

    settings: Any  # of the problem, a frozen dataclass
    learners: Mapping[str, Any]  # all learners of the problem, in the order of the figures
    default_learners: tuple[str, ...]  # those that run by default
    runs: int  # independent runs of each learner
    block: int  # largest number of runs that advance together in one process
    seconds: float  # estimate for `block` runs of one learner on one core


class Runs(Protocol):
    """R runs of one learner on one problem that advance together."""

    @property
    def progress(self) -> float:
        """The fraction of the work that is done, from 0.0 to exactly 1.0 at the end."""

    def advance(self) -> None:
        """Do the next part of the work, which takes a fraction of a second to a few seconds."""

    def state(self) -> dict[str, np.ndarray]:
        """Everything that `restore` needs to continue bit for bit, as arrays on the host."""

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue from a `state`. Raises KeyError or ValueError if it does not fit."""

    def results(self) -> dict[str, np.ndarray]:
        """The measurements by name, each (R, ...). Called when progress is 1.0."""


class Problem(Protocol):
    """A module in the folder `problems/`."""

    __name__: str  # by which worker processes import it
    TITLE: str

    @property
    def SCALES(self) -> Mapping[str, Scale]:  # a property, so that any mapping fits
        """The scales by name; all have the same learners and kinds of settings."""

    def data_source(self, settings: Any, data_folder: Path | None) -> str:
        """A description of the data in a few words, with a digest of the data if files are read.

        The fingerprint of a result includes it, so it must depend on the data but not on their location. Raises
        DataError if a data file is missing or damaged.
        """

    def start(self, settings: Any, learner: Any, seeds: Sequence[int], data_folder: Path | None) -> Runs:
        """Start one run per seed.

        Raises ValueError, for example DataError, with a sentence for the user if data or settings cannot be used.
        """

    def figures(self, results: Any) -> dict[str, Any]:
        """Draw the figures of the problem from a `ResultSet`: {name: matplotlib Figure}."""
