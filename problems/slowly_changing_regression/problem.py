"""R runs of one learner on Slowly-Changing Regression."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minilop.backend import Array, xp
from minilop.learner_settings import LearnerSettings, make_learner
from minilop.losses import half_squared_error, squared_error
from minilop.optimizers import NetworkIDBD
from problems.shared.online import OnlineRuns, make_network
from problems.slowly_changing_regression.settings import Settings
from problems.slowly_changing_regression.stream import Stream


class RegressionRuns(OnlineRuns):
    """R runs of one learner on the stream."""

    def __init__(self, settings: Settings, learner_settings: LearnerSettings, seeds: Sequence[int]):
        network = make_network((settings.num_bits, settings.num_hidden, 1), learner_settings, seeds)
        # The equations of IDBD, including its bound on the step, are those of half the squared error.
        self.is_half = isinstance(learner_settings.optimizer, NetworkIDBD)
        super().__init__(
            make_learner(network, half_squared_error if self.is_half else squared_error, learner_settings),
            settings.num_examples,
            settings.task_length,
            settings.bin_size,
            settings.magnitude_interval,
        )
        self.settings = settings
        self.dtype = learner_settings.dtype
        self.stream = Stream(settings, network.seeds)
        self.task = -1

    def enter(self, task: int) -> None:
        """Compute the inputs of a task and their targets."""
        if task != self.task:
            self.task = task
            self.task_inputs = self.stream.inputs(task)
            self.task_targets = self.stream.targets(self.task_inputs)
            self.choices = self.stream.choices(task)

    def examples(self, start: int, stop: int) -> tuple[Array, Array]:
        task, first = divmod(start, self.settings.task_length)
        self.enter(task)
        choices = self.choices[:, first : first + stop - start].T  # (n, R)
        runs = np.arange(choices.shape[1])
        # Contiguous, so that rounding does not depend on the number of runs.
        inputs = np.ascontiguousarray(self.task_inputs[runs, :, choices], self.dtype)  # (n, R, 20)
        targets = self.task_targets[runs, choices].astype(self.dtype)  # (n, R)
        return xp.asarray(inputs)[..., None], xp.asarray(targets)[..., None, None]

    def measure(self, outputs: Array, targets: Array, losses: Array) -> dict[str, Array]:
        return {"squared_error": 2 * losses if self.is_half else losses}

    def diagnostic_inputs(self) -> Array:
        self.enter(self.position // self.settings.task_length)
        return xp.asarray(self.task_inputs.astype(self.dtype))


def data_source(settings: Settings, data_folder: Path | None) -> str:
    """A description of the examples. They are drawn, so `data_folder` is not used."""
    return "random bits and a random target network"


def start(
    settings: Settings, learner: LearnerSettings, seeds: Sequence[int], data_folder: Path | None
) -> RegressionRuns:
    """Begin R runs side by side. The examples are drawn, so `data_folder` is not used."""
    return RegressionRuns(settings, learner, seeds)
