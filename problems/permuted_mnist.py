"""Online Permuted MNIST: one pass over the digits, then the pixels are permuted and it begins again, hundreds of times.

Each task has a random permutation of the pixels and a random order of the examples; each example is seen once, alone,
and the learner's guess counts before it learns from it. Nothing tells the learner that a task begins. No task is harder
than another. Accuracy is lost at once, from the first task to the second, where weights that fit the last task are in the
way of the next (as `linear` shows); what is lost over many tasks after that is plasticity.

Dohare et al. (2024), Methods, "Online Permuted MNIST". Paper - published code - ours:

  permutation               a fresh one for every task - composed with all before it - fresh, which is the same in law
  weight magnitude          at every step - at every step - every `magnitude_interval` steps, 16 at paper scale: the
                            learners that buffer their updates (minilop/fast/low_rank.py) bring their weights up to date
                            for it
  dead units, ranks         on the first 2,000 examples of a task, before learning from it - the same - the same
  utility                   contribution in the text - adaptable_contribution in its files - the files', which made the
                            published curves

The network without a single hidden unit, `linear`, and `redo` are ours. Not here: online normalization, whose two
hyperparameters the paper does not give, and changes of the permutation after 100,000 or 1,000,000 examples, more than there
are (every 10,000: task_length=10000).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from minilop import data, draws
from minilop.backend import Array, xp
from minilop.checks import check_range
from minilop.experiment.figures import Figure, add_caption, new_figure
from minilop.experiment.problem import Scale
from minilop.experiment.results import ResultSet
from minilop.fast import BufferedSGD, InPlaceSGD
from minilop.learner_settings import LearnerSettings, make_learner
from minilop.losses import cross_entropy
from minilop.optimizers import SGD, Adam, MetaOptimize, NetworkIDBD
from minilop.plasticity import ContinualBackprop, GenerateAndTest, L2Init, ReDo, ShrinkAndPerturb
from minilop.plasticity.continual_backprop import PAPER
from problems.appearance import describe_runs, draw_curves
from problems.online import OnlineRuns, diagnostics_figure, make_network

DIGITS = {
    "handwritten": "1,797 real handwritten digits of 8 x 8 pixels (UCI)",
    "synthetic": "generated digits",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
}
TITLE = "Online Permuted MNIST: the pixels of the digits are permuted again and again"


@dataclass(frozen=True)
class Settings:
    """The problem; values of the paper where nothing else is said.

    digits   handwritten: 1,797 real ones of 8 x 8 pixels that come with minilop; synthetic: generated, 28 x 28;
             mnist, fashion_mnist: the official training files, from the folder given with --data
    """

    digits: Literal["handwritten", "synthetic", "mnist", "fashion_mnist"] = "mnist"
    num_tasks: int = 800
    task_length: int = 60_000  # examples of a task; not more than there are
    halvings: int = 0  # how often 2 x 2 pixels are averaged to one
    num_hidden: int = 2000
    num_hidden_layers: int = 3
    num_diagnostic_examples: int = 2000
    magnitude_interval: int = 16

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        check_range(self, "num_tasks task_length num_hidden num_hidden_layers num_diagnostic_examples", 1)
        check_range(self, "magnitude_interval", 1)
        check_range(self, "halvings", 0)


def read_digits(settings: Settings, data_folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, Y, X) and labels (N,) as bytes. Raises DataError where files are missing, broken or too few."""
    if settings.digits == "handwritten":
        images, labels = data.handwritten_digits()
    elif settings.digits == "synthetic":
        images, labels = data.synthetic_digits(np.arange(settings.task_length))
    else:
        images, labels = data.read_training_set(data_folder or Path("data"), settings.digits)
    if settings.task_length > len(images):
        raise data.DataError(
            f"task_length is {settings.task_length}, but there are only {len(images)} {settings.digits} digits; "
            "set it to at most that."
        )
    return images, labels


def load_digits(settings: Settings, data_folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, pixels) from 0 to 1 and labels (N,). Raises DataError as `read_digits`."""
    images, labels = read_digits(settings, data_folder)
    for _ in range(settings.halvings):
        images = data.halve(images)
    largest = 16 if settings.digits == "handwritten" else 255
    return images.reshape(len(images), -1) / np.float32(largest), labels


class PermutedDigits(OnlineRuns):
    """R runs of one learner on the sequence of tasks."""

    def __init__(
        self,
        settings: Settings,
        learner_settings: LearnerSettings,
        seeds: Sequence[int],
        images: np.ndarray,
        labels: np.ndarray,
    ):
        self.settings = settings
        self.images = xp.asarray(images, learner_settings.dtype)  # (N, pixels)
        self.labels = xp.asarray(labels, int)  # (N,)
        num_pixels = images.shape[-1]
        sizes = (num_pixels, *[settings.num_hidden] * settings.num_hidden_layers, 10)
        network = make_network(sizes, learner_settings, seeds)
        super().__init__(
            make_learner(network, cross_entropy, learner_settings),
            settings.num_tasks * settings.task_length,
            settings.task_length,
            settings.task_length,
            settings.magnitude_interval,
        )
        self.seeds = network.seeds
        self.task = -1

    def enter(self, task: int) -> None:
        """Draw the order of the examples and the permutation of the pixels of a task."""
        if task != self.task:
            self.task = task
            num_images, num_pixels = self.images.shape
            order = draws.permutation(self.seeds, "order of examples", num_images, step=task)
            self.order = order[:, : self.settings.task_length]  # (R, T)
            self.pixels = draws.permutation(self.seeds, "permutation of pixels", num_pixels, step=task)  # (R, pixels)

    def permuted(self, order: Array) -> Array:
        """The images at places `order` (R, n) with their pixels permuted, (n, R, pixels)."""
        return self.images[order.T[..., None], self.pixels]

    def examples(self, start: int, stop: int) -> tuple[Array, Array]:
        task, first = divmod(start, self.settings.task_length)
        self.enter(task)
        order = self.order[:, first : first + stop - start]
        return self.permuted(order)[..., None], self.labels[order.T][..., None]

    def measure(self, outputs: Array, targets: Array, losses: Array) -> dict[str, Array]:
        correct = xp.argmax(outputs, axis=-1) == targets[..., 0]  # (n, R)
        return {"accuracy": 100.0 * correct, "loss": losses}

    def diagnostic_inputs(self) -> Array:
        self.enter(self.position // self.settings.task_length)
        examples = self.permuted(self.order[:, : self.settings.num_diagnostic_examples])  # (n, R, pixels)
        return xp.moveaxis(examples, 0, -1)  # (R, pixels, n)


def data_source(settings: Settings, data_folder: Path | None) -> str:
    """What the examples are, with a digest. Raises DataError where a data file is missing or broken."""
    images, labels = read_digits(settings, data_folder)
    digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()[:12]
    return f"{DIGITS[settings.digits]}: {len(labels):,} images, sha256 {digest}"


def start(
    settings: Settings, learner: LearnerSettings, seeds: Sequence[int], data_folder: Path | None
) -> PermutedDigits:
    """Begin R runs side by side. Raises DataError where a data file is missing or broken."""
    return PermutedDigits(settings, learner, seeds, *load_digits(settings, data_folder))


# The published settings; the paper compares step size 0.003, decay 1e-4, scale 1e-5, rate 1e-6 and Adam's 1e-4.
_BACKPROP = LearnerSettings(BufferedSGD(step_size=0.003))
_IN_PLACE = LearnerSettings(InPlaceSGD(step_size=0.003))  # where a weight decays or a rule reads the weights
_L2 = _IN_PLACE.change(weight_decay=1e-4)
_CONTINUAL_BACKPROP = ContinualBackprop(replacement_rate=1e-6, maturity_threshold=100)
_ADAM = LearnerSettings(Adam(step_size=1e-4))
PUBLISHED_LEARNERS = {
    "backprop": _BACKPROP,
    "l2": _L2,
    "shrink_and_perturb": _L2.with_rules(ShrinkAndPerturb(perturb_scale=1e-5)),
    "continual_backprop": _IN_PLACE.with_rules(_CONTINUAL_BACKPROP),
    "adam": _ADAM,
    "dropout": _BACKPROP.change(dropout=0.1),
    "redo": _IN_PLACE.with_rules(ReDo(redo_period=10_000, redo_scores="period")),  # ours
    "linear": _BACKPROP.change(kind="linear"),
    "l2_init": LearnerSettings(SGD(step_size=0.003), (L2Init(init_decay=1e-4),)),  # ours, untried at this scale
    **{f"backprop_step_{size:g}": _BACKPROP.change(step_size=size) for size in (0.01, 0.001)},
    **{f"adam_step_{size:g}": _ADAM.change(step_size=size) for size in (3e-5, 5e-5)},
    **{f"l2_decay_{decay:g}": _L2.change(weight_decay=decay) for decay in (1e-3, 1e-5)},
    **{
        f"shrink_and_perturb_scale_{scale:g}": _L2.with_rules(ShrinkAndPerturb(perturb_scale=scale))
        for scale in (1e-4, 1e-6)
    },
    "continual_backprop_paper": _IN_PLACE.with_rules(replace(_CONTINUAL_BACKPROP, **PAPER)),
    **{
        f"continual_backprop_rate_{rate:g}": _IN_PLACE.with_rules(replace(_CONTINUAL_BACKPROP, replacement_rate=rate))
        for rate in (1e-4, 1e-5)
    },
}
MAIN_LEARNERS = tuple(PUBLISHED_LEARNERS)[:8]

# Ours, for a small network and few steps: a larger step size, and stronger remedies in proportion.
_SMALL = LearnerSettings(SGD(step_size=0.01))
_SMALL_L2 = _SMALL.change(weight_decay=3e-3)
_SMALL_LEARNERS = {
    "backprop": _SMALL,
    "l2": _SMALL_L2,
    "l2_init": _SMALL.with_rules(L2Init(init_decay=3e-3)),  # the strength that L2 has
    "shrink_and_perturb": _SMALL_L2.with_rules(ShrinkAndPerturb(perturb_scale=1e-3)),
    "continual_backprop": _SMALL.with_rules(ContinualBackprop(replacement_rate=1e-3)),
    "adam": LearnerSettings(Adam(step_size=1e-3)),
    "dropout": _SMALL.change(dropout=0.1),
    "redo": _SMALL.with_rules(ReDo(redo_period=500, redo_scores="period", redo_threshold=0.03)),
    "linear": _SMALL.change(kind="linear"),
}
# Values are ours, from a short search at laptop scale; untried at paper scale.
STEP_SIZE_LEARNERS = {
    "network_idbd": LearnerSettings(NetworkIDBD(step_size=0.03, meta_step_size=0.03)),
    "metaoptimize": LearnerSettings(MetaOptimize(step_size=1e-4, meta_step_size=1e-3, trace_decay=0.999)),
    "dynamic": LearnerSettings(NetworkIDBD(step_size=0.03, meta_step_size=0.01), (GenerateAndTest(new_inputs="all"),)),
}
_LAPTOP = Settings(
    digits="handwritten",
    num_tasks=40,
    task_length=1797,
    num_hidden=32,
    num_hidden_layers=2,
    num_diagnostic_examples=1797,
    magnitude_interval=10,
)

SCALES = {
    "smoke": Scale(
        replace(_LAPTOP, num_tasks=2, task_length=600),
        {**PUBLISHED_LEARNERS, **_SMALL_LEARNERS, **STEP_SIZE_LEARNERS},
        default_learners=MAIN_LEARNERS,
        runs=2,
        block=20,
        seconds=0.4,
    ),
    "laptop": Scale(
        _LAPTOP,
        {**PUBLISHED_LEARNERS, **_SMALL_LEARNERS, **STEP_SIZE_LEARNERS},
        default_learners=("dynamic", *MAIN_LEARNERS),  # the longest first, so that no process is idle at the end
        runs=20,
        block=20,
        seconds=20,
    ),
    # One run at a time: a step of so wide a network is limited by the memory, and runs side by side would not help.
    "paper": Scale(
        Settings(),
        {**PUBLISHED_LEARNERS, **STEP_SIZE_LEARNERS},
        default_learners=MAIN_LEARNERS,
        runs=30,
        block=1,
        seconds=700_000,
    ),
}


def figures(results: ResultSet) -> dict[str, Figure]:
    """Online accuracy against the task and what became of the networks, of learned step sizes in figures of their own."""
    settings = results.settings
    tasks = np.arange(settings.num_tasks) + 1
    halved = f", halved in width and height {settings.halvings} times" if settings.halvings else ""
    layers = "-".join([str(settings.num_hidden)] * settings.num_hidden_layers)
    about = (
        f"Online Permuted MNIST on {DIGITS[settings.digits]}{halved}, {settings.task_length:,} a task, hidden layers {layers}; "
        "each example is seen once and predicted before the update."
    )
    x_label = f"Task number (each {settings.task_length:,} examples)"
    label = ("Online accuracy (%)", "correct before each update, averaged over the task")

    def accuracy_figure(learners: Sequence[str]) -> Figure:
        figure, (axes,) = new_figure()
        draw_curves(axes, results, learners, "accuracy", tasks, *label, x_label)
        add_caption(figure, f"{about} {describe_runs(results, learners)}")
        return figure

    groups = {"": [name for name in results.learners if name not in STEP_SIZE_LEARNERS]}
    if set(STEP_SIZE_LEARNERS) & set(results.learners):
        beside = ("backprop", "continual_backprop", "adam", *STEP_SIZE_LEARNERS)
        groups["_step_sizes"] = [name for name in beside if name in results.learners]
    drawn = {}
    for group, learners in groups.items():
        if learners:
            drawn[f"permuted_mnist{group}"] = accuracy_figure(learners)
            diagnostics = diagnostics_figure(results, learners, tasks, tasks, x_label, about)
            drawn[f"permuted_mnist{group}_diagnostics"] = diagnostics
    return drawn
