"""Code shared by the problems with linear learners: many hyperparameters side by side on one stream.

A `Sweep` is one stream with one learner whose weights are (R, ..., K, n): R runs, further axes of the stream if it has
any, K values of a hyperparameter, n inputs. All K learn from the same examples, one per step. Divergence is a result:
from `diverged_at`, the first example whose error is not finite, all measures of that run with that hyperparameter are
NaN. The others are unaffected.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from minilop import state as states
from minilop.backend import Array, to_host, xp

CHUNK = 500  # examples that are drawn and measured together


class Stream(Protocol):
    """A stream of examples, which are requested in order."""

    arrays: dict[str, Array]  # the state of the stream, which checkpoints contain

    def examples(self, start: int, stop: int) -> tuple[Array, ...]:
        """Arrays (T, R, ...) for steps `start` to `stop`: inputs, which broadcast against the weights, and targets."""


class Linear(Protocol):
    """A linear learner for supervised learning or prediction."""

    weights: Array
    state: dict[str, Array]

    @property
    def step_sizes(self) -> Array: ...


class Sweep:
    """One stream, one learner.

    learn               function from the arrays of one example, without the axis T, to the errors (R, ..., K) before
                        the update
    num_examples        length of the stream, a whole number of bins
    bin_size            examples whose squared errors are averaged
    snapshots_per_bin   of the step sizes, evenly spaced, the last at the end of the bin; 0: none

    The results are `squared_error` (R, ..., K, bins), `diverged_at` (R, ..., K), which is -1 for runs that never
    diverge, and `step_sizes` (R, ..., K, bins, n), the mean of the snapshots.
    """

    def __init__(
        self,
        stream: Stream,
        learner: Linear,
        learn: Callable[..., Array],
        num_examples: int,
        bin_size: int,
        snapshots_per_bin: int = 0,
    ):
        self.stream = stream
        self.learner = learner
        self.learn = learn
        self.num_examples = num_examples
        self.bin_size = bin_size
        self.snapshots_per_bin = snapshots_per_bin
        self.position = 0
        shape, num_inputs = learner.weights.shape[:-1], learner.weights.shape[-1]
        num_bins = num_examples // bin_size
        self.diverged_at = np.full(shape, -1)
        self.squared_error = np.zeros((num_bins, *shape))
        self.step_sizes = np.zeros((num_bins if snapshots_per_bin else 0, *shape, num_inputs))  # means of a bin

    def advance(self) -> None:
        """Learn from the next chunk of examples."""
        start, bin_index = self.position, self.position // self.bin_size
        stop = min(start + CHUNK - start % CHUNK, start + self.bin_size - start % self.bin_size)
        errors = []
        step_sizes: Array = 0
        for index, example in enumerate(zip(*self.stream.examples(start, stop)), start=start + 1):
            errors.append(self.learn(*example))
            count = self.snapshots_per_bin
            if count and index * count // self.bin_size > (index - 1) * count // self.bin_size:
                step_sizes = step_sizes + self.learner.step_sizes
        stacked = xp.stack(errors, axis=-1)  # (R, ..., K, T)
        squares = stacked * stacked
        finite = to_host(xp.isfinite(squares))
        newly = (self.diverged_at < 0) & ~finite.all(axis=-1)
        self.diverged_at[newly] = start + np.argmin(finite, axis=-1)[newly]
        # Along contiguous memory, the order in which NumPy sums does not depend on the number of runs.
        self.squared_error[bin_index] += to_host(squares.sum(axis=-1)) / self.bin_size
        if self.snapshots_per_bin:
            self.step_sizes[bin_index] += to_host(xp.asarray(step_sizes)) / self.snapshots_per_bin
        self.position = stop

    def arrays(self) -> dict[str, Array]:
        """All arrays on the device that change from step to step."""
        return {"weights": self.learner.weights, **self.learner.state, **states.prefixed("stream", self.stream.arrays)}

    def state(self) -> dict[str, np.ndarray]:
        return {
            **states.copied(self.arrays()),
            "squared_error": self.squared_error.copy(),
            "mean_step_sizes": self.step_sizes.copy(),
            "diverged_at": self.diverged_at.copy(),
            "position": np.array(self.position),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue where `state` was taken. Raises ValueError if it does not fit."""
        states.restore(self.arrays(), state, ["squared_error", "mean_step_sizes", "diverged_at", "position"])
        self.squared_error = state["squared_error"].copy()
        self.step_sizes = state["mean_step_sizes"].copy()
        self.diverged_at = state["diverged_at"].copy()
        self.position = int(state["position"])

    def results(self) -> dict[str, np.ndarray]:
        ends = (np.arange(self.num_examples // self.bin_size) + 1) * self.bin_size  # (bins,)
        known = (self.diverged_at[..., None] < 0) | (ends <= self.diverged_at[..., None])  # (R, ..., K, bins)
        results = {"squared_error": np.moveaxis(self.squared_error, 0, -1), "diverged_at": self.diverged_at}
        results["squared_error"] = np.where(known, results["squared_error"], np.nan)
        if self.snapshots_per_bin:
            results["step_sizes"] = np.where(known[..., None], np.moveaxis(self.step_sizes, 0, -2), np.nan)
        return results


class Part(Protocol):
    """One of the streams of a run: a `Sweep`, or another class with the same interface."""

    num_examples: int
    position: int

    def advance(self) -> None: ...
    def state(self) -> dict[str, np.ndarray]: ...
    def restore(self, state: Mapping[str, np.ndarray]) -> None: ...
    def results(self) -> dict[str, np.ndarray]: ...


class SweepRuns:
    """R runs of one learner on several streams in sequence, with the interface of `minilop.experiment.problem.Runs`.

    The results are those of the sweeps, under the names "<sweep>.<measure>".
    """

    def __init__(self, sweeps: Mapping[str, Part]):
        self.sweeps = sweeps

    @property
    def progress(self) -> float:
        """The fraction of all examples that have been learned from."""
        sweeps = self.sweeps.values()
        return sum(sweep.position for sweep in sweeps) / sum(sweep.num_examples for sweep in sweeps)

    def advance(self) -> None:
        next(sweep for sweep in self.sweeps.values() if sweep.position < sweep.num_examples).advance()

    def state(self) -> dict[str, np.ndarray]:
        return {
            key: array
            for name, sweep in self.sweeps.items()
            for key, array in states.prefixed(name, sweep.state()).items()
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue where `state` was taken. Raises ValueError if it does not fit."""
        states.check_names(state, [f"{name}." for name in self.sweeps])
        for name, sweep in self.sweeps.items():
            sweep.restore(states.part(name, state))

    def results(self) -> dict[str, np.ndarray]:
        return {
            key: array
            for name, sweep in self.sweeps.items()
            for key, array in states.prefixed(name, sweep.results()).items()
        }


def side_by_side(values: Sequence[float], dtype: str) -> Array:
    """Hyperparameters (K, 1), which broadcast against weights (R, ..., K, n)."""
    return xp.asarray(np.array(values, dtype)[:, None])


def check_parameters(compared: Sequence[float], *others: float) -> None:
    """Raises ValueError if there is nothing to compare, or if a parameter is negative or not finite."""
    if not compared or not all(0 <= value < math.inf for value in (*compared, *others)):
        raise ValueError("compared must hold at least one number, and every parameter must be finite and not negative")


def check_sweep(settings: Any, num_examples: str, bin_size: str) -> None:
    """Raises ValueError unless the stream is a whole number of bins. The arguments are the names of settings."""
    if getattr(settings, num_examples) % getattr(settings, bin_size):
        length, size = getattr(settings, num_examples), getattr(settings, bin_size)
        raise ValueError(f"{num_examples}, {length}, must be a multiple of {bin_size}, {size}")
