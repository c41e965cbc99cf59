"""R runs of one learner on the two streams of feature tracking."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minilop import draws
from minilop.backend import Array, xp
from minilop.learner_settings import LearnerSettings, make_learner
from minilop.losses import half_squared_error
from minilop.networks import Network
from minilop.optimizers import NetworkIDBD
from minilop.recipes import mlp
from problems.feature_tracking.settings import Settings
from problems.feature_tracking.teacher import Teacher
from problems.shared.online import OnlineRuns
from problems.shared.sweeps import SweepRuns


class FeatureStream(OnlineRuns):
    """R runs of one learner on one of the streams."""

    def __init__(
        self,
        settings: Settings,
        learner_settings: LearnerSettings,
        seeds: Sequence[int],
        is_redrawn: bool,
    ):
        network = make_student(settings, learner_settings, seeds)
        learner = make_learner(network, half_squared_error, learner_settings)
        num_examples = settings.num_redrawn if is_redrawn else settings.num_fixed
        super().__init__(learner, num_examples, settings.task_length, settings.bin_size, settings.bin_size)
        self.settings = settings
        self.dtype = learner_settings.dtype
        self.seeds = network.seeds
        self.teacher = Teacher(settings, network.seeds, is_redrawn)
        self.task = -1

    def enter(self, task: int) -> None:
        """Compute the teacher of a task."""
        if task != self.task:
            self.task = task
            self.signs = xp.asarray(self.teacher.signs(task), self.dtype)  # (R, J)
            self.features = self.teacher.features(task, self.dtype)  # (R, J, relevant)

    def examples(self, start: int, stop: int) -> tuple[Array, Array]:
        settings = self.settings
        self.enter(start // settings.task_length)
        steps = np.arange(start, stop)[:, None]
        inputs = draws.normal(self.seeds, "feature input", settings.num_inputs, step=steps, dtype=self.dtype)
        relevant = inputs[..., None, : settings.num_relevant]  # (n, R, 1, relevant)
        evidence = (relevant * self.features).sum(axis=-1)  # (n, R, J)
        targets = (self.signs * xp.maximum(evidence, 0)).sum(axis=-1, keepdims=True)  # (n, R, 1)
        noise = draws.normal(self.seeds, "feature noise", 1, step=steps, dtype=self.dtype)
        targets = targets + settings.target_noise * noise
        return inputs[..., None], targets[..., None]

    def measure(self, outputs: Array, targets: Array, losses: Array) -> dict[str, Array]:
        return {"squared_error": 2 * losses}

    def diagnostic_inputs(self) -> Array:
        shape = (self.settings.num_inputs, self.settings.num_diagnostic_examples)
        return draws.normal(self.seeds, "diagnostic feature input", shape, dtype=self.dtype)

    def diagnose(self) -> dict[str, Array]:
        """Adds the mean step sizes of weights from relevant and irrelevant inputs, if step sizes are learned."""
        optimizer, network = self.learner.optimizer, self.learner.network
        if not isinstance(optimizer, NetworkIDBD):
            return super().diagnose()
        step_sizes = network.views(optimizer.step_sizes)[network.hidden[0].incoming.index]["weight"]  # (R, H, I)
        by_input = xp.ascontiguousarray(step_sizes.swapaxes(-1, -2)).mean(axis=-1)  # (R, I)
        number = self.settings.num_relevant
        means = {"relevant_step_size": by_input[:, :number].mean(axis=-1)}
        if number < self.settings.num_inputs:
            means["irrelevant_step_size"] = by_input[:, number:].mean(axis=-1)
        return {**super().diagnose(), **means}


def make_student(settings: Settings, learner: LearnerSettings, seeds: Sequence[int]) -> Network:
    """The student network. Raises ValueError for a learner whose settings it cannot satisfy."""
    asked = (learner.network.kind, learner.reset, learner.network.batch_norm, learner.optimizer.buffers_updates)
    if asked != ("deep", "nothing", False, False):
        raise ValueError("Feature tracking needs kind=deep, batch_norm=False, reset=nothing and unbuffered updates.")
    sizes = (settings.num_inputs, settings.num_hidden, 1)
    activation, dropout = learner.network.activation, learner.network.dropout
    network = mlp(sizes, activation, seeds, learner.dtype, scheme="default", dropout=dropout)
    for layer in network.dense_layers:
        layer.bias[...] = 0
    return network


def data_source(settings: Settings, data_folder: Path | None) -> str:
    """A description of the examples. They are drawn, so `data_folder` is not used."""
    return "normal inputs and a teacher of rectified features"


def start(
    settings: Settings,
    learner: LearnerSettings,
    seeds: Sequence[int],
    data_folder: Path | None,
) -> SweepRuns:
    """Begin R runs side by side. The examples are drawn, so `data_folder` is not used."""
    parts = {"redrawn": FeatureStream(settings, learner, seeds, is_redrawn=True)}
    if settings.num_fixed:
        parts["fixed"] = FeatureStream(settings, learner, seeds, is_redrawn=False)
    return SweepRuns(parts)
