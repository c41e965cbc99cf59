"""Feature tracking: a network follows a target whose features, hidden in many irrelevant inputs, keep changing.

200 inputs, normal with variance 1, of which the first 5 matter. The target is made by a teacher of 5 features:

    y = sum_j s_j max(0, v_j . x) + N(0, 1)         v_j of length sqrt(2), in a random direction of the 5; s_j = +-1

Every 500 examples one sign s_j, by chance, is inverted. A network with 10 hidden units sees every example once, predicts,
then learns. Two streams, one after the other in every run:

    redrawn   besides, every 5,000 examples one teacher feature v_j, by chance, is drawn anew, so that features themselves
              go out of date; 100,000 examples
    fixed     features stay what they are; 60,000 examples

To know the teacher would leave an error of 1, the noise. The problem was made so that there is something to learn about
step sizes (irrelevant inputs want small ones) and about units (old features must go). All values are ours. Weights of
the student begin uniform within 1 / sqrt(fan-in), biases at 0.

Draws, each named by its step:

    purpose                    step                       numbers
    feature input              t                          normal, one an input
    feature noise              t                          normal
    teacher feature            m of drawing it, slot j    normal, one a relevant input; v_j is sqrt(2) along it; 0 at first
    teacher sign               0                          whole number below 2, one a feature; the sign is 2 w - 1
    inverted teacher sign      number of the change, > 0  whole number: which feature
    redrawn teacher feature    m, > 0                     whole number: which feature
    diagnostic feature input   0                          normal, one an input and example
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minilop import draws
from minilop.backend import Array, to_host, xp
from minilop.checks import check_range
from minilop.experiment.figures import Figure
from minilop.experiment.problem import Scale
from minilop.experiment.results import ResultSet
from minilop.learner_settings import LearnerSettings, NetworkSettings, make_learner
from minilop.losses import half_squared_error
from minilop.networks import Network
from minilop.optimizers import SGD, NetworkIDBD
from minilop.plasticity import GenerateAndTest
from minilop.recipes import mlp
from problems import feature_tracking_figures
from problems.online import OnlineRuns
from problems.sweeps import SweepRuns

TITLE = "Feature tracking: weights, step sizes and units that adapt to features which go out of date"


@dataclass(frozen=True)
class Settings:
    """The problem; all values are ours, so `paper` only means in full."""

    num_inputs: int = 200
    num_relevant: int = 5
    num_features: int = 5  # of the teacher
    num_hidden: int = 10  # of the student
    target_noise: float = 1.0  # standard deviation
    task_length: int = 500  # examples between two inverted signs
    redraw_period: int = 5_000  # examples between two teacher features drawn anew
    num_redrawn: int = 100_000  # examples of the streams
    num_fixed: int = 60_000  # 0: left out
    bin_size: int = 2_000
    num_diagnostic_examples: int = 200

    def __post_init__(self) -> None:
        """Raises ValueError for values that do not fit together."""
        check_range(self, "num_inputs num_relevant num_features num_hidden num_diagnostic_examples", 1)
        check_range(self, "task_length redraw_period num_redrawn bin_size", 1)
        check_range(self, "target_noise num_fixed", 0)
        if self.num_relevant > self.num_inputs:
            raise ValueError(f"num_relevant must be at most num_inputs, {self.num_inputs}, not {self.num_relevant}")
        if self.redraw_period % self.task_length:
            raise ValueError(f"redraw_period must be a multiple of task_length, not {self.redraw_period}")
        if self.num_redrawn % self.bin_size or self.num_fixed % self.bin_size:
            raise ValueError(f"num_redrawn and num_fixed must be multiples of bin_size, {self.bin_size}")


class Teacher:
    """What makes the targets of R runs; a draw has no state, so any task can be asked for."""

    def __init__(self, settings: Settings, seeds: np.ndarray, is_redrawn: bool):
        self.settings = settings
        self.seeds = seeds
        self.tasks_a_feature = settings.redraw_period // settings.task_length if is_redrawn else 0

    def changed(self, purpose: str, count: int) -> np.ndarray:
        """Which feature each of the first changes 1 to `count` was about, (count, R, 1)."""
        changes = np.arange(1, count + 1)[:, None]
        return to_host(draws.integers(self.seeds, purpose, 1, self.settings.num_features, step=changes))

    def signs(self, task: int) -> np.ndarray:
        """s, (R, J)."""
        number = self.settings.num_features
        signs = 2 * to_host(draws.integers(self.seeds, "teacher sign", number, 2)) - 1
        inverted = self.changed("inverted teacher sign", task) == np.arange(number)  # (task, R, J)
        return signs * (1 - 2 * (inverted.sum(axis=0) % 2))

    def features(self, task: int, dtype: str) -> Array:
        """v, (R, J, relevant)."""
        settings = self.settings
        slots = np.arange(settings.num_features)
        count = task // self.tasks_a_feature if self.tasks_a_feature else 0
        redrawn = self.changed("redrawn teacher feature", count) == slots  # (count, R, J)
        last = (np.arange(1, count + 1)[:, None, None] * redrawn).max(axis=0, initial=0)  # (R, J)
        seeds = self.seeds[:, None]
        drawn = draws.normal(seeds, "teacher feature", settings.num_relevant, step=last, slot=slots, dtype=dtype)
        return math.sqrt(2) * drawn / xp.sqrt((drawn * drawn).sum(axis=-1, keepdims=True))


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
        """Ask for the teacher of a task."""
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
        """Besides, the mean step size of weights from relevant and irrelevant inputs, where step sizes are learned."""
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
    """The student's network. Raises ValueError for a learner that wants another."""
    asked = (learner.network.kind, learner.reset, learner.network.batch_norm, learner.optimizer.buffers_updates)
    if asked != ("deep", "nothing", False, False):
        raise ValueError("Here the network is deep, without batch_norm, updated at once, and not told of tasks.")
    sizes = (settings.num_inputs, settings.num_hidden, 1)
    activation, dropout = learner.network.activation, learner.network.dropout
    network = mlp(sizes, activation, seeds, learner.dtype, scheme="default", dropout=dropout)
    for layer in network.dense_layers:
        layer.bias[...] = 0
    return network


def data_source(settings: Settings, data_folder: Path | None) -> str:
    """What the examples are; they are drawn, so `data_folder` is not looked at."""
    return "normal inputs and a teacher of rectified features"


def start(
    settings: Settings,
    learner: LearnerSettings,
    seeds: Sequence[int],
    data_folder: Path | None,
) -> SweepRuns:
    """Begin R runs side by side; the examples are drawn, so `data_folder` is not looked at."""
    parts = {"redrawn": FeatureStream(settings, learner, seeds, is_redrawn=True)}
    if settings.num_fixed:
        parts["fixed"] = FeatureStream(settings, learner, seeds, is_redrawn=False)
    return SweepRuns(parts)


_TANH = NetworkSettings(activation="tanh")
_SGD = LearnerSettings(SGD(step_size=0.01), network=_TANH)
TWO_LEVELS = LearnerSettings(NetworkIDBD(step_size=0.003, meta_step_size=0.03), network=_TANH)
THREE_LEVELS = TWO_LEVELS.with_rules(GenerateAndTest())
STEP_SIZES = (0.003, 0.005, 0.01, 0.02)  # for SGD, to compare
MAIN_LEARNERS = {
    "sgd": _SGD,
    "sgd_bounded": TWO_LEVELS.change(step_size=0.01, meta_step_size=0.0),
    "sgd_units": THREE_LEVELS.change(step_size=0.01, meta_step_size=0.0, overshoot_limit=0.0, inherit=False),
    "two_levels": TWO_LEVELS,
    "three_levels": THREE_LEVELS,
    "without_inheritance": THREE_LEVELS.change(inherit=False),
    "dense_units": THREE_LEVELS.change(new_inputs="all"),
}
LEARNERS = {
    **MAIN_LEARNERS,
    "uniform_inputs": THREE_LEVELS.change(new_inputs="uniform"),
    "two_levels_diagonal": TWO_LEVELS.change(curvature="gauss_newton_diagonal"),
    "two_levels_gauss_newton": TWO_LEVELS.change(curvature="gauss_newton"),
    "three_levels_diagonal": THREE_LEVELS.change(curvature="gauss_newton_diagonal"),
    "three_levels_gauss_newton": THREE_LEVELS.change(curvature="gauss_newton"),
    **{f"sgd_step_{step_size:g}": _SGD.change(step_size=step_size) for step_size in STEP_SIZES if step_size != 0.01},
}
DEFAULT_LEARNERS = tuple(MAIN_LEARNERS)
SMOKE = Settings(
    num_inputs=20,
    task_length=100,
    redraw_period=200,
    num_redrawn=800,
    num_fixed=200,
    bin_size=100,
    num_diagnostic_examples=50,
)
SMOKE_LEARNERS = {  # whose units are replaced within so few examples
    name: learner.change(maturity_threshold=100, replacement_rate=0.005) if learner.rules else learner
    for name, learner in LEARNERS.items()
}
SCALES = {
    "smoke": Scale(SMOKE, SMOKE_LEARNERS, DEFAULT_LEARNERS, runs=2, block=10, seconds=0.5),
    "laptop": Scale(
        Settings(num_redrawn=60_000, num_fixed=0), LEARNERS, DEFAULT_LEARNERS, runs=10, block=10, seconds=20
    ),
    "paper": Scale(Settings(), LEARNERS, tuple(LEARNERS), runs=30, block=10, seconds=55),
}


def figures(results: ResultSet) -> dict[str, Figure]:
    """The error at each level, what each part is worth, and the learned step sizes."""
    return feature_tracking_figures.draw(results)
