"""Prediction: a cue is followed by an outcome ten steps later, and the value of every moment is to be predicted.

One endless stream. At random times there is a cue, and exactly 10 steps later an outcome, the cumulant 1 (else it is 0);
the next cue comes 15 to 39 steps after the outcome, each with the same probability. Features: 12 taps, of which tap k is
1 k steps after a cue; 20 distractors that are 1 by chance, with probability 0.1; and a bias, always 1. What is predicted
at a step is the discounted sum of the cumulants that come later, with gamma = 0.9. Every prediction counts as it was
made, before learning from the step.

    value error  =  (v_t - G_t)^2 averaged        G_t = sum_j gamma^(j - 1) r_(t + j), known to whoever made the stream

To predict 0 always has an error of 0.150; the next cue cannot be foreseen, which leaves about 0.007.

Draws, with the number t of the step as step:

    purpose      step   numbers
    cue gap      0      whole numbers below 25: 15 more is the gap before each cue; the first cue comes after the first gap
    distractor   t      uniform, one a distractor: 1 where it is below the probability

The stream is ours, after those with which such methods are usually compared; no small stream with published numbers was
found. For the methods see `minilop.prediction`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from minilop import draws
from minilop.backend import Array, to_host, xp
from minilop.checks import check_choices, check_range
from minilop.experiment.figures import Figure
from minilop.experiment.problem import Scale
from minilop.experiment.results import ResultSet
from minilop.prediction import TIDBD, SwiftTD, TDLambda, TrueOnlineTDLambda
from minilop.prediction.linear_predictor import LinearPredictor
from problems import prediction_figures
from problems.sweeps import Sweep, SweepRuns, check_parameters, check_sweep, side_by_side

TITLE = "Prediction: temporal-difference learning of a value, with given and with learned step sizes"


@dataclass(frozen=True)
class Settings:
    """The problem; all values are ours."""

    num_steps: int = 20_000
    bin_size: int = 1_000
    discount: float = 0.9
    delay: int = 10  # steps from a cue to its outcome
    shortest_gap: int = 15  # steps from an outcome to the next cue
    longest_gap: int = 39
    num_taps: int = 12
    num_distractors: int = 20
    distractor_probability: float = 0.1

    def __post_init__(self) -> None:
        """Raises ValueError for values that do not fit together."""
        check_range(self, "num_steps bin_size delay shortest_gap num_taps num_distractors", 1)
        check_range(self, "discount", 0, 1, below_high=True)
        check_range(self, "distractor_probability", 0, 1)
        check_sweep(self, "num_steps", "bin_size")
        if self.longest_gap < self.shortest_gap:
            raise ValueError(f"longest_gap must be at least shortest_gap, {self.shortest_gap}, not {self.longest_gap}")


@dataclass(frozen=True)
class PredictionLearner:
    """A method and the values of its one parameter that is compared.

    compared   the step size of td and true_online_td, the meta step size of tidbd and swift_td
    """

    rule: Literal["td", "true_online_td", "tidbd", "swift_td"] = "true_online_td"
    compared: tuple[float, ...] = (0.03,)
    trace_decay: float = 0.95  # lambda
    initial_step_size: float = 0.01  # tidbd, swift_td
    gradient: Literal["semi", "ordinary"] = "semi"  # tidbd
    normalize: bool = False  # tidbd
    tau: float = 1e4  # tidbd, with normalize
    step_bound: float = 0.1  # swift_td: eta
    step_decay: float = 0.99  # swift_td: epsilon
    smallest_step_size: float = math.exp(-15)  # swift_td
    dtype: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        check_choices(self)
        check_parameters(self.compared)
        check_range(self, "initial_step_size step_bound smallest_step_size", 1e-30)
        check_range(self, "tau", 1)
        check_range(self, "step_decay", 1e-30, 1)
        check_range(self, "trace_decay", 0, 1)
        if self.smallest_step_size > self.step_bound:
            raise ValueError(f"smallest_step_size must be at most step_bound, {self.step_bound:g}")

    def make(self, weights: Array, discount: float) -> LinearPredictor:
        """The method for weights (R, K, n), with the K values of its parameter."""
        value = side_by_side(self.compared, self.dtype)
        if self.rule in ("td", "true_online_td"):
            kind = TDLambda if self.rule == "td" else TrueOnlineTDLambda
            return kind(weights, value, discount, self.trace_decay)
        if self.rule == "tidbd":
            start, options = self.initial_step_size, (self.gradient, self.normalize, self.tau)
            return TIDBD(weights, discount, self.trace_decay, value, start, *options)
        limits = (self.step_bound, self.step_decay, self.smallest_step_size)
        return SwiftTD(weights, discount, self.trace_decay, value, self.initial_step_size, *limits)


class CueStream:
    """The steps of R runs: features (T, R, 1, n), cumulants (T, R, 1) and returns G (T, R, 1).

    cues, cumulants, returns   (R, T) of the whole stream, on the host
    """

    def __init__(self, settings: Settings, seeds: np.ndarray, dtype: str):
        self.settings = settings
        self.seeds = seeds
        self.dtype = dtype
        self.arrays: dict[str, Array] = {}
        # So far into the future that what comes later is discounted to nothing.
        future = math.ceil(math.log(1e-9) / math.log(settings.discount)) if settings.discount else 1
        length = settings.num_steps + future
        num_cues = length // (settings.delay + settings.shortest_gap) + 1
        choices = settings.longest_gap - settings.shortest_gap + 1
        gaps = settings.shortest_gap + to_host(draws.integers(seeds, "cue gap", num_cues, choices))  # (R, cues)
        times = (gaps + settings.delay).cumsum(axis=-1)  # of the outcomes
        events = np.zeros((len(seeds), times.max() + 1), bool)
        np.put_along_axis(events, times, True, axis=-1)
        cumulants = events[:, :length].astype(float)
        returns = np.zeros((len(seeds), length))
        for step in range(length - 2, -1, -1):
            returns[:, step] = cumulants[:, step + 1] + settings.discount * returns[:, step + 1]
        self.cues = events[:, settings.delay : settings.delay + settings.num_steps]
        self.cumulants, self.returns = (array[:, : settings.num_steps] for array in (cumulants, returns))

    def examples(self, start: int, stop: int) -> tuple[Array, ...]:
        settings, runs = self.settings, len(self.seeds)
        steps = np.arange(start, stop)[:, None]  # (T, 1)
        since = steps - np.arange(settings.num_taps)  # (T, taps): the step at which the cue of each tap was
        taps = np.where(since >= 0, self.cues[:, since], False).swapaxes(0, 1)  # (T, R, taps)
        uniform = draws.uniform(self.seeds, "distractor", settings.num_distractors, step=steps, dtype=self.dtype)
        distractors = (uniform < settings.distractor_probability).astype(self.dtype)
        bias = xp.ones((stop - start, runs, 1), self.dtype)
        features = xp.concatenate([xp.asarray(taps.astype(self.dtype)), distractors, bias], axis=-1)
        of_future = (
            xp.asarray(array[:, start:stop].T.astype(self.dtype))[..., None] for array in (self.cumulants, self.returns)
        )
        return (features[..., None, :], *of_future)


def data_source(settings: Settings, data_folder: Path | None) -> str:
    """What the examples are; they are drawn, so `data_folder` is not looked at."""
    return "random cues, each followed by an outcome, among random distractors"


def start(settings: Settings, learner: PredictionLearner, seeds: Sequence[int], data_folder: Path | None) -> SweepRuns:
    """Begin R runs side by side; the stream is drawn, so `data_folder` is not looked at."""
    num_features = settings.num_taps + settings.num_distractors + 1
    weights = xp.zeros((len(seeds), len(learner.compared), num_features), learner.dtype)
    method = learner.make(weights, settings.discount)

    def learn(features: Array, cumulant: Array, returned: Array) -> Array:
        return returned - method.step(features, cumulant)

    stream = CueStream(settings, np.asarray(seeds), learner.dtype)
    return SweepRuns({"compared": Sweep(stream, method, learn, settings.num_steps, settings.bin_size, looks=1)})


STEP_SIZES = (0.001, 0.003, 0.01, 0.02, 0.03, 0.05, 0.1, 0.3)
META_STEP_SIZES = (1e-4, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
LEARNERS = {
    "td_lambda": PredictionLearner("td", STEP_SIZES),
    "true_online_td": PredictionLearner("true_online_td", STEP_SIZES),
    "tidbd": PredictionLearner("tidbd", (0.001, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0)),
    "tidbd_normalized": PredictionLearner("tidbd", META_STEP_SIZES, normalize=True, initial_step_size=0.03),
    "swift_td": PredictionLearner("swift_td", META_STEP_SIZES),
    "swift_td_bound_0.5": PredictionLearner(
        "swift_td", META_STEP_SIZES, initial_step_size=0.1, step_bound=0.5, step_decay=0.9
    ),
}
SCALES = {
    "smoke": Scale(Settings(num_steps=1_000, bin_size=250), LEARNERS, tuple(LEARNERS), runs=2, block=50, seconds=0.3),
    "laptop": Scale(Settings(), LEARNERS, tuple(LEARNERS), runs=30, block=50, seconds=5),
    "paper": Scale(Settings(), LEARNERS, tuple(LEARNERS), runs=100, block=50, seconds=5),
}


def figures(results: ResultSet) -> dict[str, Figure]:
    """Error against parameter, error over time and learned step sizes."""
    seeds = {run["seed"] for learner in results.learners.values() for run in learner.metadata}
    returns = CueStream(results.settings, np.array(sorted(seeds)), "float64").returns
    return prediction_figures.draw(results, error_of_zero=float(np.square(returns).mean()))
