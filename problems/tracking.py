"""Tracking: a linear target changes for ever, and how fast each weight should learn can itself be learned.

Three small experiments, one after the other in every run. Every example is seen once, predicted, then learned from.

    compared   20 inputs, normal with variance 1; the target is the sum of the first 5, each with a sign; every 20
               examples one of the five signs, by chance, is inverted. The 15 other inputs are irrelevant. Squared error
               of the last 10,000 of 30,000 examples, for many step sizes or meta step sizes side by side. Sutton (1992),
               experiment 1
    observed   the same stream for 250,000 examples with one meta step size: the learned step sizes over time, relevant
               inputs against irrelevant ones. Sutton (1992), experiment 2
    rates      one input, always 1: z <- z + sigma N(0, 1), and the target is z + N(0, 1), at four noise levels sigma.
               The Kalman filter gives the best step size and its error in closed form, see `best_rate`

Draws, with the number t of the example as step:

    purpose           step                        numbers
    tracking input    t                           normal, one an input
    initial sign      0                           whole number below 2, one a relevant input; the sign is 2 w - 1
    inverted sign     number of the change, > 0   whole number: which relevant input
    tracking noise    t                           normal, where `target_noise` is not 0
    rate drift        t                           normal, times each sigma
    rate noise        t                           normal, the same for each sigma

Sutton (1992), "Adapting bias by gradient descent"; Mahmood et al. (2012) for Autostep; the `rates` after Degris et al.
(2024). Paper - published code - ours: no published code was found. IDBD's meta step size in `observed`, 0.001, and the
initial step sizes of 0.05 are the paper's, as are lengths and numbers of inputs; the ranges that are compared are ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from minilop import draws
from minilop.backend import Array, xp
from minilop.checks import check_choices, check_range
from minilop.experiment.figures import Figure
from minilop.experiment.problem import Scale
from minilop.experiment.results import ResultSet
from minilop.optimizers import IDBD, LMS, Autostep
from minilop.optimizers.autostep import Bound
from minilop.optimizers.linear_learner import LinearLearner
from problems import tracking_figures
from problems.sweeps import Sweep, SweepRuns, check_parameters, check_sweep, side_by_side

TITLE = "Tracking: learned step sizes for linear prediction of a target that keeps changing"


@dataclass(frozen=True)
class Settings:
    """The problem; values of the paper where nothing else is said."""

    num_inputs: int = 20
    num_relevant: int = 5
    task_length: int = 20  # examples between two changes of a sign
    target_noise: float = 0.0  # standard deviation; not in the paper
    num_compared: int = 30_000  # examples of the experiments
    compared_bin: int = 10_000  # whose last one is measured
    num_observed: int = 250_000
    observed_bin: int = 1_000  # ours
    num_rates: int = 40_000  # ours; the second half is measured
    sigmas: tuple[float, ...] = (0.1, 0.5, 1.0, 2.0)

    def __post_init__(self) -> None:
        """Raises ValueError for values that do not fit together."""
        check_range(self, "num_inputs num_relevant task_length num_compared compared_bin num_observed observed_bin", 1)
        check_range(self, "num_rates", 2)
        check_range(self, "target_noise", 0)
        if self.num_relevant >= self.num_inputs:
            raise ValueError(f"num_relevant must be below num_inputs, {self.num_inputs}, not {self.num_relevant}")
        check_sweep(self, "num_compared", "compared_bin")
        check_sweep(self, "num_observed", "observed_bin")
        if self.num_rates % 2 or not self.sigmas or not all(0 < sigma < math.inf for sigma in self.sigmas):
            raise ValueError("num_rates must be even, and sigmas hold at least one number, all finite and above 0")


@dataclass(frozen=True)
class TrackingLearner:
    """A rule and the values of its one parameter: the step size of lms, the meta step size of the others."""

    rule: Literal["lms", "idbd", "autostep"] = "lms"
    compared: tuple[float, ...] = (0.03,)
    observed: tuple[float, ...] = ()  # none: the experiment is left out
    rates: tuple[float, ...] = ()
    initial_step_size: float = 0.05  # idbd, autostep
    tau: float = 1e4  # autostep
    bound: Bound = "permanent"  # autostep
    dtype: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        check_choices(self)
        check_parameters(self.compared, *self.observed, *self.rates)
        check_range(self, "initial_step_size", 1e-30)
        check_range(self, "tau", 1)

    def make(self, weights: Array, values: Sequence[float]) -> LinearLearner:
        """The learner for weights (R, ..., K, n) with these K values of its parameter."""
        parameter = side_by_side(values, self.dtype)
        if self.rule == "lms":
            return LMS(weights, parameter)
        if self.rule == "idbd":
            return IDBD(weights, parameter, self.initial_step_size)
        return Autostep(weights, parameter, self.initial_step_size, self.tau, self.bound)


class SignStream:
    """Examples of `compared` and `observed` for R runs: inputs (T, R, 1, n), targets (T, R, 1)."""

    def __init__(self, settings: Settings, seeds: np.ndarray, dtype: str):
        self.settings = settings
        self.seeds = seeds
        self.dtype = dtype
        signs = 2 * draws.integers(seeds, "initial sign", settings.num_relevant, 2) - 1
        self.arrays = {"signs": signs.astype(dtype)}  # (R, relevant), of the last example

    def signs(self, start: int, stop: int) -> Array:
        """The signs (T, R, relevant) of the examples, and on into `arrays`."""
        length, relevant = self.settings.task_length, self.settings.num_relevant
        task = np.arange(start, stop) // length  # (T,) of each example
        changes = np.arange(task[0], task[-1] + 1)  # of the tasks
        inverted = draws.integers(self.seeds, "inverted sign", 1, relevant, step=changes[:, None])  # (tasks, R, 1)
        factor = 1 - 2 * (inverted == xp.arange(relevant)).astype(self.dtype)  # (tasks, R, relevant)
        if start % length or start == 0:
            factor[0] = 1  # begun before, or the first of all
        signs = self.arrays["signs"] * xp.cumprod(factor, axis=0)
        self.arrays["signs"][...] = signs[-1]
        return signs[xp.asarray(task - task[0])]

    def examples(self, start: int, stop: int) -> tuple[Array, ...]:
        steps = np.arange(start, stop)[:, None]
        inputs = draws.normal(self.seeds, "tracking input", self.settings.num_inputs, step=steps, dtype=self.dtype)
        relevant = inputs[..., : self.settings.num_relevant] * self.signs(start, stop)
        targets = relevant.sum(axis=-1, keepdims=True)
        if self.settings.target_noise:
            noise = draws.normal(self.seeds, "tracking noise", 1, step=steps, dtype=self.dtype)
            targets += self.settings.target_noise * noise
        return inputs[..., None, :], targets


class RateStream:
    """Examples of `rates` for R runs and L noise levels: inputs (T, 1), always 1, targets (T, R, L, 1)."""

    def __init__(self, settings: Settings, seeds: np.ndarray, dtype: str):
        self.seeds = seeds
        self.dtype = dtype
        self.sigmas = xp.asarray(np.array(settings.sigmas, dtype))
        self.arrays = {"level": xp.zeros((len(seeds), len(settings.sigmas)), dtype)}  # z, (R, L)

    def examples(self, start: int, stop: int) -> tuple[Array, ...]:
        steps = np.arange(start, stop)[:, None]
        drift = draws.normal(self.seeds, "rate drift", 1, step=steps, dtype=self.dtype)  # (T, R, 1)
        noise = draws.normal(self.seeds, "rate noise", 1, step=steps, dtype=self.dtype)
        levels = self.arrays["level"] + xp.cumsum(drift * self.sigmas, axis=0)  # (T, R, L)
        self.arrays["level"][...] = levels[-1]
        return xp.ones((stop - start, 1), self.dtype), (levels + noise)[..., None]


def data_source(settings: Settings, data_folder: Path | None) -> str:
    """What the examples are; they are drawn, so `data_folder` is not looked at."""
    return "normal inputs and a target with inverted signs; random walks in noise"


def start(settings: Settings, learner: TrackingLearner, seeds: Sequence[int], data_folder: Path | None) -> SweepRuns:
    """Begin R runs side by side; the examples are drawn, so `data_folder` is not looked at."""
    words, dtype = np.asarray(seeds), learner.dtype

    def sweep(stream: SignStream | RateStream, values: Sequence[float], axes: tuple[int, ...], *lengths: int) -> Sweep:
        linear = learner.make(xp.zeros((len(seeds), *axes), dtype), values)
        return Sweep(stream, linear, linear.step, *lengths)

    signs = settings.num_inputs
    sweeps = {
        "compared": sweep(
            SignStream(settings, words, dtype),
            learner.compared,
            (len(learner.compared), signs),
            settings.num_compared,
            settings.compared_bin,
        )
    }
    if learner.observed:
        sweeps["observed"] = sweep(
            SignStream(settings, words, dtype),
            learner.observed,
            (len(learner.observed), signs),
            settings.num_observed,
            settings.observed_bin,
            1,
        )
    if learner.rates:
        half = settings.num_rates // 2
        sweeps["rates"] = sweep(
            RateStream(settings, words, dtype),
            learner.rates,
            (len(settings.sigmas), len(learner.rates), 1),
            settings.num_rates,
            half,
            half,
        )
    return SweepRuns(sweeps)


def best_rate(sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The step size of least error for `rates`, and that error: the steady state of the Kalman filter.

    The filter's uncertainty of z before an example, P, is that after it, P / (P + 1), plus sigma^2: a quadratic in P.
    """
    q = np.asarray(sigma) ** 2
    uncertainty = (q + np.sqrt(q * q + 4 * q)) / 2
    return uncertainty / (uncertainty + 1), uncertainty + 1


def error_at_rate(sigma: np.ndarray, step_size: np.ndarray) -> np.ndarray:
    """The squared error of a constant step size for `rates`: 1 + P with P = (1 - alpha)^2 P + alpha^2 + sigma^2."""
    return 1 + (step_size**2 + np.asarray(sigma) ** 2) / (step_size * (2 - step_size))


LEARNERS = {
    "lms": TrackingLearner(
        compared=(0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.045, 0.05, 0.06, 0.07),
        rates=(0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0),
    ),
    "idbd": TrackingLearner(
        rule="idbd",
        compared=(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.025, 0.03, 0.05),
        observed=(0.001,),
        rates=(0.001, 0.01),
    ),
    "autostep": TrackingLearner(
        rule="autostep",
        compared=(1e-4, 3e-4, 0.001, 0.003, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5),
        observed=(0.01,),
        rates=(0.001, 0.01, 0.03),
    ),
    "autostep_transient": TrackingLearner(
        rule="autostep",
        bound="transient",
        compared=(1e-4, 3e-4, 0.001, 0.003, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5),
        observed=(0.01,),  # no rates: there the bound is hardly ever met
    ),
}
SMOKE = Settings(
    num_compared=1_500, compared_bin=500, num_observed=2_000, observed_bin=100, num_rates=1_000, sigmas=(0.5, 2.0)
)
SCALES = {
    "smoke": Scale(SMOKE, LEARNERS, tuple(LEARNERS), runs=2, block=50, seconds=0.5),
    "laptop": Scale(Settings(), LEARNERS, tuple(LEARNERS), runs=30, block=50, seconds=14),
    "paper": Scale(Settings(), LEARNERS, tuple(LEARNERS), runs=100, block=50, seconds=14),
}


def figures(results: ResultSet) -> dict[str, Figure]:
    """Error against parameter, learned step sizes over time, and the rates against their closed form."""
    return tracking_figures.draw(results, best_rate, error_at_rate)
