"""The streams of tracking: a linear target whose signs are inverted, and random walks."""

import numpy as np

from minilop import draws
from minilop.backend import Array, xp
from problems.tracking.settings import Settings


class SignStream:
    """Examples of `compared` and `observed` for R runs: inputs (T, R, 1, n), targets (T, R, 1)."""

    def __init__(self, settings: Settings, seeds: np.ndarray, dtype: str):
        self.settings = settings
        self.seeds = seeds
        self.dtype = dtype
        signs = 2 * draws.integers(seeds, "initial sign", settings.num_relevant, 2) - 1
        self.arrays = {"signs": signs.astype(dtype)}  # (R, relevant), of the last example

    def signs(self, start: int, stop: int) -> Array:
        """The signs (T, R, relevant) of the examples; the last ones are stored in `arrays`."""
        length, relevant = self.settings.task_length, self.settings.num_relevant
        task = np.arange(start, stop) // length  # (T,), of each example
        changes = np.arange(task[0], task[-1] + 1)  # indices of the tasks
        inverted = draws.integers(self.seeds, "inverted sign", 1, relevant, step=changes[:, None])  # (tasks, R, 1)
        factor = 1 - 2 * (inverted == xp.arange(relevant)).astype(self.dtype)  # (tasks, R, relevant)
        if start % length or start == 0:
            factor[0] = 1  # this task began earlier, or is the first
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
