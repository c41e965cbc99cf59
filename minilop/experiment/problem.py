"""What a problem offers, and what the runner may expect of it.

A problem is a file or a folder of `problems/` that has these names (the protocol `Problem`):

    TITLE          one line for `--list`
    SCALES         {"smoke": Scale, "laptop": Scale, "paper": Scale}, some with "overnight" before "paper"
    data_source    data_source(settings, data_folder) -> str
    start          start(settings, learner, seeds, data_folder) -> Runs
    figures        figures(results) -> {name: matplotlib Figure}

and, where there is something that moves, for `--animate`:

    animations     animations(results) -> {name: minilop.experiment.saving.Animation}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Scale:
    """The values of one scale of a problem: `smoke`, `laptop`, `overnight` or `paper`.

    Every problem has three of them. `overnight`, the published structure at reduced size in about an hour on two cores,
    is for the problems that need a GPU or days at `paper` scale.

    A learner is its settings, a frozen dataclass with a `dtype`: LearnerSettings, which are composed of an optimizer, a
    network and rules, or a flat dataclass of the problem's own where what learns is not a network. Settings are
    pickled, for the processes, and compared; they need not be hashable.
    """

    settings: Any  # a frozen dataclass, the problem's own settings
    learners: Mapping[str, Any]  # every learner of the problem, in the order of the figures
    default_learners: tuple[str, ...]  # those that run when none is named
    runs: int  # independent runs of each learner
    block: int  # at most so many runs advance side by side in one process
    seconds: float  # about how long one block of `block` runs of one learner takes on one core


class Runs(Protocol):
    """R runs of one learner on one problem, advancing together."""

    @property
    def progress(self) -> float:
        """The share of the work that is done, from 0.0 to exactly 1.0 at the end."""

    def advance(self) -> None:
        """Do the next small part of the work, a fraction of a second to a few seconds long."""

    def state(self) -> dict[str, np.ndarray]:
        """Everything that `restore` needs to go on bit for bit, as arrays on the host."""

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a `state`; raises KeyError or ValueError where it does not fit."""

    def results(self) -> dict[str, np.ndarray]:
        """What was measured, each array with the runs first: (R, ...). Called when progress is 1.0."""


class Problem(Protocol):
    """A module of the folder `problems/`."""

    __name__: str  # where another process imports it from
    TITLE: str

    @property
    def SCALES(self) -> Mapping[str, Scale]:  # read only, so any mapping will do
        """The values of each scale; the same learners and kinds of settings in all of them."""

    def data_source(self, settings: Any, data_folder: Path | None) -> str:
        """What the examples are, in a few words, with a digest of the files where files are read.

        It is part of a result's fingerprint: other examples have another text, and the same ones wherever they lie the
        same. Raises DataError where a data file is missing or broken.
        """

    def start(self, settings: Any, learner: Any, seeds: Sequence[int], data_folder: Path | None) -> Runs:
        """Begin `len(seeds)` runs side by side.

        Raises ValueError (DataError is one) with a sentence for the user where data or settings cannot be used.
        """

    def figures(self, results: Any) -> dict[str, Any]:
        """Draw the problem's figures from result files alone: {name: matplotlib Figure}."""
