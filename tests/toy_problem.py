"""A problem as small as can be, for the tests of the experiment room: each run is one number that is mapped to the
next, so a run is decided by its seed and settings to the last bit. A setting makes it misbehave."""

import hashlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from minilop.data.errors import DataError
from minilop.experiment.problem import Scale

TITLE = "numbers that wander between zero and one"


@dataclass(frozen=True)
class ToySettings:
    num_steps: int = 8
    pause: float = 0.0  # seconds that each step sleeps
    mischief: Literal["none", "kill", "stop", "raise", "no_data", "diverge", "contradict"] = "none"
    mischief_step: int = 3
    mischief_seed: int = 0  # only a block with this run misbehaves
    marker: str = ""  # a file that is made at the first mischief and prevents a second; none: every time
    data_file: str = ""  # in the data folder; it decides nothing, but it must be there
    largest_start: float = 1.0  # with `smallest_start` the settings that only fit together
    smallest_start: float = 0.0

    def __post_init__(self) -> None:
        if self.smallest_start >= self.largest_start:
            raise ValueError("smallest_start must be below largest_start")


@dataclass(frozen=True)
class ToyLearner:
    rate: float = 3.9
    dtype: Literal["float32", "float64"] = "float32"


class ToyRuns:
    def __init__(self, settings: ToySettings, learner: ToyLearner, seeds: Sequence[int]) -> None:
        self.settings, self.learner, self.seeds = settings, learner, seeds
        self.step = 0
        self.value = np.array([0.1 + (seed * 0.618) % 0.8 for seed in seeds], learner.dtype)  # (R,)
        self.history = np.full((len(seeds), settings.num_steps), np.nan, learner.dtype)  # (R, T)

    @property
    def progress(self) -> float:
        return self.step / self.settings.num_steps

    def advance(self) -> None:
        time.sleep(self.settings.pause)
        if self.step == self.settings.mischief_step and self.settings.mischief_seed in self.seeds:
            self._misbehave()
        self.value = self.value * (1 - self.value) * self.value.dtype.type(self.learner.rate)
        self.history[:, self.step] = self.value
        self.step += 1

    def _misbehave(self) -> None:
        if self.settings.marker and Path(self.settings.marker).exists():
            return
        if self.settings.marker:
            Path(self.settings.marker).touch()
        match self.settings.mischief:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "stop":
                os.kill(os.getpid(), signal.SIGTERM)
            case "raise":
                raise ZeroDivisionError("an error in the problem's own code")
            case "no_data":
                raise DataError("The file toy.bin is missing; put it into the data folder.")
            case "diverge":
                self.value[list(self.seeds).index(self.settings.mischief_seed)] = np.nan

    def state(self) -> dict[str, np.ndarray]:
        return {"step": np.array(self.step), "value": self.value, "history": self.history}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self.step = int(state["step"])
        self.value, self.history = state["value"].copy(), state["history"].copy()

    def results(self) -> dict[str, np.ndarray]:
        diverged_at = np.where(np.isnan(self.value), np.isnan(self.history).argmax(axis=-1), -1)
        return {"history": self.history, "last": self.value, "diverged_at": diverged_at}


LEARNERS = {
    "fast": ToyLearner(),
    "slow": ToyLearner(rate=1.5),
    "spare": ToyLearner(rate=2.5),
    "rate_1e-0.5": ToyLearner(),
}

SMOKE = Scale(ToySettings(), LEARNERS, ("fast", "slow"), runs=3, block=2, seconds=0.5)
SCALES = {
    "smoke": SMOKE,
    "laptop": replace(SMOKE, settings=ToySettings(num_steps=20), runs=6),
    "paper": replace(SMOKE, settings=ToySettings(num_steps=400), runs=30, block=10),
}


def data_source(settings: ToySettings, data_folder: Path | None) -> str:
    if not settings.data_file:
        return "invented"
    path = (data_folder or Path()) / settings.data_file
    if not path.exists():
        raise DataError(f"The file {path} is missing; put it into the data folder.")
    return f"a toy file, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}"


def start(settings: ToySettings, learner: ToyLearner, seeds: Sequence[int], data_folder: Path | None) -> ToyRuns:
    if settings.mischief == "contradict" and settings.mischief_seed in seeds:
        raise ValueError("the settings contradict\neach other")
    return ToyRuns(settings, learner, seeds)


def figures(results: Any) -> dict[str, Any]:
    from matplotlib.figure import Figure

    figure = Figure()
    axes = figure.add_subplot()
    for name, learner in results.learners.items():
        axes.plot(learner["history"].mean(axis=0), label=f"{name}, {learner.num_runs} runs")
    return {f"{results.problem}_history": figure}
