"""The examples of Slowly-Changing Regression: bits that change slowly, and the outputs of a target network."""

import numpy as np

from minilop import draws
from minilop.backend import to_host
from problems.slowly_changing_regression.settings import Settings


def _signs(seeds: np.ndarray, purpose: str, shape: tuple[int, ...]) -> np.ndarray:
    return 2 * to_host(draws.integers(seeds, purpose, shape, 2)) - 1


class Stream:
    """The examples of R runs: the inputs of each task, and the target network's outputs. All arrays are on the host.

    A task has 2^5 = 32 inputs. The index of an input is the number formed by its fast bits.
    """

    def __init__(self, settings: Settings, seeds: np.ndarray):
        self.settings = settings
        self.seeds = seeds
        units, bits = settings.num_target_units, settings.num_bits
        self.weight = _signs(seeds, "target weight", (units, bits))  # (R, U, I)
        self.bias = _signs(seeds, "target bias", (units, 1))  # (R, U, 1)
        self.output_weight = _signs(seeds, "target output weight", (1, units))  # (R, 1, U)
        self.output_bias = _signs(seeds, "target output bias", (1, 1))  # (R, 1, 1)
        negative = (self.weight < 0).sum(axis=-1, keepdims=True)  # (R, U, 1)
        if settings.target_threshold == "paper":
            negative = negative + (self.bias < 0)
        else:
            negative = (bits - self.weight.sum(axis=-1, keepdims=True) + self.bias) / 2
        self.threshold = settings.beta * (bits + 1) - negative
        self.num_fast_bits = bits - settings.num_slow_bits

    def slow_bits(self, task: int) -> np.ndarray:
        """The slow bits, which are constant during a task, (R, 15)."""
        num_slow = self.settings.num_slow_bits
        if self.settings.change == "redraw_all":
            return to_host(draws.integers(self.seeds, "slow bits", num_slow, 2, step=task))
        bits = to_host(draws.integers(self.seeds, "slow bits", num_slow, 2))
        changes = np.arange(1, task + 1)[:, None]  # draws are stateless: all inversions up to this task at once
        inverted = to_host(draws.integers(self.seeds, "inverted bit", 1, num_slow, step=changes))  # (task, R, 1)
        return (bits + (inverted == np.arange(num_slow)).sum(axis=0)) % 2

    def inputs(self, task: int) -> np.ndarray:
        """All inputs of a task, (R, 20, 32)."""
        slow = self.slow_bits(task)[..., None]  # (R, 15, 1)
        fast = np.arange(2**self.num_fast_bits) >> np.arange(self.num_fast_bits)[:, None] & 1  # (5, 32)
        shape = (len(self.seeds), -1, fast.shape[-1])
        return np.concatenate(
            [np.broadcast_to(slow, slow.shape[:-1] + fast.shape[-1:]), np.broadcast_to(fast, shape[:1] + fast.shape)],
            axis=-2,
        )

    def targets(self, inputs: np.ndarray) -> np.ndarray:
        """The outputs (R, N) of the target network for inputs (R, 20, N)."""
        fires = self.weight @ inputs + self.bias > self.threshold  # (R, U, N)
        return (self.output_weight @ fires + self.output_bias)[..., 0, :]

    def choices(self, task: int) -> np.ndarray:
        """The indices of the inputs that are the examples of a task, (R, task_length)."""
        num_inputs = 2**self.num_fast_bits
        return to_host(draws.integers(self.seeds, "fast bits", self.settings.task_length, num_inputs, step=task))
