"""Class-incremental CIFAR-100: five classes to tell apart, then ten, up to a hundred, by one network that learns on.

Whenever classes arrive, the network trains on all images of all classes so far for hundreds of epochs; nothing is taken
away, so nothing need be forgotten. Still the network that has been trained all the way ends below one that was begun
anew with the same images (`retrained`), and the distance is plasticity lost.

Dohare et al. (2024), "Class-incremental CIFAR-100". Paper - published code - ours:

  new outputs             fresh ones at each increase - all there from the start, the unseen out of the loss but not out
                          of weight decay, which makes them nearly zero - the code's (heads), the paper's by an option
  accuracy                "test accuracy" - the best over the epochs of an increment, chosen on the test images -
                          both: best_test_accuracy, and test_accuracy of the network that early stopping keeps
  early stopping          on validation images - their accuracy after each epoch; weights and running statistics of the
                          best are loaded at the end, momentum and ages are not - the same, each run its own
  retrained network       from scratch - weights, biases, scales anew; momentum and running statistics stay - the same
  head resetting          - - all 100 outputs are drawn anew, their momentum stays - the same
  Continual Backprop      running average of the contribution - lifetime activity times present weights - the code's
  diagnostics             - on 1,000 images, validation's among them, normalized by their own mean and variance, before
                          anything is drawn anew - the same
  last mini-batch         - smaller where the images do not divide; they do, 25 updates an epoch for every five classes -
                          the same

Labels are numbers in the order of arrival, so the outputs of the classes seen are the first; the published code has
them in the order of the files, and looks them up. Training accuracy is ours: of the network that early stopping keeps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from minilop import backend, diagnostics, draws
from minilop import state as states
from minilop.backend import Array, to_host, xp
from minilop.checks import check_range
from minilop.data.augmentation import augment
from minilop.experiment.problem import Scale
from minilop.learner_settings import LearnerSettings, make_learner
from minilop.losses import cross_entropy
from minilop.networks import Network
from minilop.optimizers import SGD
from minilop.recipes import linear
from minilop.residual_networks import Graph, resnet
from problems.class_incremental_cifar_figures import figures
from problems.class_incremental_cifar_images import MEAN_AND_DEVIATION, data_source, read_images
from problems.class_incremental_cifar_learners import MAIN_LEARNERS, PUBLISHED_LEARNERS, SMALL_LEARNERS
from problems.curves import Curves
from problems.generated_images import check_halvings, check_one_example

__all__ = ["SCALES", "TITLE", "ClassIncremental", "Settings", "data_source", "figures", "start"]

# Images of all runs that are learned from between two looks at the clock.
IMAGES_AT_A_TIME = {"numpy": 500, "cupy": 50_000}
TITLE = "Class-incremental CIFAR-100: ever more classes of images to tell apart"


@dataclass(frozen=True)
class Settings:
    """The problem; values of the paper where nothing else is said.

    images   cifar100: the official files in the folder given with --data; hard, medium, easy: generated classes
    heads    published_code: all outputs from the start; paper: fresh ones when their classes arrive
    """

    images: Literal["cifar100", "hard", "medium", "easy"] = "cifar100"
    halvings: int = 0  # how often 2 x 2 pixels of generated images are averaged to one
    num_classes: int = 100  # the first ones of the data; they arrive in a random order
    classes_per_increment: int = 5
    num_training_images: int = 450  # of a class
    num_validation_images: int = 50  # of a class
    num_test_images: int = 100  # of a class
    num_epochs: int = 200  # of an increment
    batch_size: int = 90
    step_size_falls: tuple[float, ...] = (0.3, 0.6, 0.8)  # shares of an increment's epochs, at each of which
    step_size_factor: float = 0.2  # the step size is multiplied by this; it starts again at each increment
    heads: Literal["published_code", "paper"] = "published_code"
    flip: bool = True  # images to train on, see minilop/data/augmentation.py
    crop_padding: int = 4
    rotation: float = 15.0  # degrees, at most
    widths: tuple[int, ...] = (64, 128, 256, 512)  # channels of the stages of the residual network
    blocks: tuple[int, ...] = (2, 2, 2, 2)  # of each stage
    num_diagnostic_images: int = 1000

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range or that contradict each other."""
        check_range(self, "classes_per_increment num_training_images num_validation_images num_test_images", 1)
        check_range(self, "num_epochs num_diagnostic_images", 1)
        check_range(self, "num_classes batch_size", 2)
        check_range(self, "halvings crop_padding rotation step_size_factor", 0)
        if self.num_classes % self.classes_per_increment:
            raise ValueError(
                f"num_classes, {self.num_classes}, must be a multiple of classes_per_increment, "
                f"{self.classes_per_increment}"
            )
        if not self.widths or len(self.widths) != len(self.blocks):
            raise ValueError("widths and blocks need one number for each stage of the network, at least one")
        if not all(0 <= share <= 1 for share in self.step_size_falls):
            raise ValueError(
                f"step_size_falls are shares of an increment's epochs, from 0 to 1, not {self.step_size_falls}"
            )
        check_halvings(self.images, self.halvings)

    @property
    def num_increments(self) -> int:
        return self.num_classes // self.classes_per_increment

    def steps_an_epoch(self, increment: int) -> int:
        return self.mini_batches(increment, self.num_training_images)

    def mini_batches(self, increment: int, num_images: int) -> int:
        """Of so many images of each class seen; where batch_size does not divide them the last one is smaller."""
        return -(-(increment + 1) * self.classes_per_increment * num_images // self.batch_size)

    def step_size_at(self, epoch: int) -> float:
        """What the step size is multiplied by in an epoch of an increment: published 1, 0.2, 0.04, 0.008."""
        falls = [max(1, round(share * self.num_epochs)) for share in self.step_size_falls]
        return self.step_size_factor ** sum(epoch >= fall for fall in falls)


def make_network(
    settings: Settings, learner_settings: LearnerSettings, input_shape: tuple[int, int, int], seeds: Sequence[int]
) -> Network:
    """The network of the problem, with an output for each class.

    Raises ValueError for learners that want another one than residual networks are.
    """
    check_one_example(learner_settings, settings.batch_size)
    asked = learner_settings.network
    if asked.kind == "linear":
        return linear(input_shape, settings.num_classes, seeds, learner_settings.dtype)
    if asked.activation != "relu" or asked.dropout or asked.batch_norm:
        raise ValueError(
            "the residual network has relus, is always normalized and never drops; leave these settings out"
        )
    return resnet(
        seeds,
        learner_settings.dtype,
        widths=settings.widths,
        blocks=settings.blocks,
        image_size=input_shape[-1],
        num_channels=input_shape[0],
        num_outputs=settings.num_classes,
    )


class ClassIncremental:
    """R runs of one learner on ever more classes; `minilop.experiment.problem.Runs` says how it is driven.

    images        bytes (K, N, C, Y, X), as `read_images` makes them; all runs share them
    class_order   (R, K) on the host: the classes of each run in the order in which they arrive
    best          copies of parameters (R, P) and running statistics, of each run's best epoch of this increment
    record        what was measured in this increment, (R,) each
    """

    def __init__(self, settings: Settings, learner_settings: LearnerSettings, seeds: Sequence[int], images: np.ndarray):
        self.settings = settings
        self.num_runs = len(seeds)
        side = images.shape[-1]
        if settings.crop_padding >= side:
            raise ValueError(
                f"crop_padding={settings.crop_padding} must be less than the {side} pixels of an image's side"
            )
        per_increment = settings.classes_per_increment * settings.num_training_images
        last_batches = {
            number * per_increment % settings.batch_size for number in range(1, settings.num_increments + 1)
        }
        if side <= 2 ** (len(settings.widths) - 1) and (1 in last_batches or settings.num_diagnostic_images == 1):
            raise ValueError(
                "one image, of which the last stage sees a single place, has no variance to normalize by; choose another "
                "batch_size or num_diagnostic_images, larger images, or fewer widths and blocks"
            )
        if settings.heads == "paper" and not isinstance(learner_settings.optimizer, SGD):
            raise ValueError(
                "heads=paper starts outputs without state of their own, which is for the optimizer sgd; choose it, or "
                "heads=published_code"
            )
        if settings.heads == "paper" and any(rule.changes_gradients for rule in learner_settings.rules):
            raise ValueError(
                "heads=paper gives outputs new values that l2_init would not know; choose heads=published_code"
            )
        network = make_network(settings, learner_settings, images.shape[2:], seeds)
        self.learner = make_learner(network, self.loss, learner_settings)
        self.reset = learner_settings.reset
        self.initial_step_size = self.learner.optimizer.step_size
        self.images = xp.asarray(images.reshape(-1, *images.shape[2:]))  # (K N, C, Y, X)
        self.images_of_class = images.shape[1]
        self.class_order = to_host(draws.permutation(network.seeds, "order of classes", settings.num_classes))
        validation_from = settings.num_training_images
        test_from = validation_from + settings.num_validation_images
        self.places_of = {
            "training": range(validation_from),
            "validation": range(validation_from, test_from),
            "test": range(test_from, images.shape[1]),
        }
        mean, deviation = MEAN_AND_DEVIATION["cifar100" if settings.images == "cifar100" else "generated"]
        self.factor = self.by_channel(1 / (255 * np.array(deviation)))
        self.shift = self.by_channel(np.array(mean) / deviation)
        self.increment, self.epoch, self.step = 0, 0, 0  # epoch of the increment, mini-batch of the epoch
        self.num_right = {name: xp.zeros(self.num_runs, int) for name in self.places_of}
        self.loaded_increment, self.loaded_epoch = -1, -1
        self.best = {name: array.copy() for name, array in self.kept_by_early_stopping().items()}
        self.record = self.new_record()
        self.finite = xp.ones(self.num_runs, bool)  # whether all losses of the increment were
        self.diverged_at = np.full(self.num_runs, -1)
        self.at_start = Curves(settings.num_increments, self.num_runs)
        self.at_end = Curves(settings.num_increments, self.num_runs)

    # --- how the work is divided --------------------------------------------------------------------------------------

    def stages(self, increment: int, epoch: int) -> dict[str, int]:
        """How many mini-batches are learned from in an epoch, and how many images are then told, by name.

        After the last epoch of an increment those to train on are told, by the network that early stopping has kept.
        """
        counted = ("validation", "test") if epoch < self.settings.num_epochs else ("training",)
        learned = {"learning": self.settings.steps_an_epoch(increment)} if epoch < self.settings.num_epochs else {}
        return learned | {name: self.settings.mini_batches(increment, len(self.places_of[name])) for name in counted}

    @property
    def progress(self) -> float:
        """The share of all mini-batches that is done."""
        epochs = self.settings.num_epochs
        before, whole = 0, 0
        for increment in range(self.settings.num_increments):
            steps, last = (sum(self.stages(increment, epoch).values()) for epoch in (0, epochs))
            if increment < self.increment:
                before += epochs * steps + last
            elif increment == self.increment:
                before += self.epoch * steps + self.step
            whole += epochs * steps + last
        return before / whole

    def advance(self) -> None:
        """Learn from the next few mini-batches of an epoch, or count how many images are told right."""
        settings = self.settings
        if self.epoch == 0 and self.step == 0:
            self.begin_increment()
        first = self.step
        for stage, number in self.stages(self.increment, self.epoch).items():
            if first < number:
                break
            first -= number
        steps = max(1, backend.choose(IMAGES_AT_A_TIME) // (self.num_runs * settings.batch_size))
        stop = min(first + steps, number)
        if stage == "learning":
            self.learn(first, stop)
        else:
            self.num_right[stage] += self.count_right(stage, first, stop)
        self.step += stop - first
        if self.step == sum(self.stages(self.increment, self.epoch).values()):
            self.end_epoch()
        backend.synchronize()  # so that progress does not run ahead of the device

    def learn(self, first: int, stop: int) -> None:
        """From mini-batches `first` to `stop` - 1 of the epoch."""
        self.learner.optimizer.step_size = self.initial_step_size * self.settings.step_size_at(self.epoch)
        for step in range(first, stop):
            _, losses = self.learner.step(*self.mini_batch(step))
            self.finite &= xp.isfinite(losses).all(axis=-1)

    def begin_increment(self) -> None:
        """Classes arrive: a look at the network as it is, then new weights for the learners that want them."""
        self.at_start.add(self.increment, self.diagnose())
        if self.increment and self.reset != "nothing":
            self.learner.reset(self.reset, draw=self.increment)
        if self.settings.heads == "paper":
            self.add_outputs()
        self.finite[...] = True
        self.record = self.new_record()

    def end_epoch(self) -> None:
        """Each run whose validation accuracy is its best so far keeps a copy of its network; then the next epoch."""
        if self.epoch == self.settings.num_epochs:
            self.at_end.add(self.increment, {**self.record, "training_accuracy": self.accuracy("training")})
            self.increment, self.epoch = self.increment + 1, 0
        else:
            record, validation, test = self.record, self.accuracy("validation"), self.accuracy("test")
            better = validation > record["validation_accuracy"]  # (R,), strictly
            for name, array in self.kept_by_early_stopping().items():
                xp.copyto(self.best[name], array, where=better.reshape((-1,) + (1,) * (array.ndim - 1)))
            self.record = {
                "best_test_accuracy": xp.maximum(record["best_test_accuracy"], test),
                "test_accuracy": xp.where(better, test, record["test_accuracy"]),
                "validation_accuracy": xp.where(better, validation, record["validation_accuracy"]),
                "stopping_epoch": xp.where(better, self.epoch + 1.0, record["stopping_epoch"]),
            }
            self.epoch += 1
            if self.epoch == self.settings.num_epochs:
                self.stop_early()
        self.step = 0
        for count in self.num_right.values():
            count[...] = 0

    def stop_early(self) -> None:
        """Every run goes on with its best network, but with its momentum and ages of now."""
        self.finite &= xp.isfinite(self.learner.network.parameters).all(axis=-1)  # no loss has seen the last step
        newly_diverged = (self.diverged_at < 0) & ~to_host(self.finite)
        self.diverged_at[newly_diverged] = self.increment
        for name, array in self.kept_by_early_stopping().items():
            array[...] = self.best[name]

    def kept_by_early_stopping(self) -> dict[str, Array]:
        """Parameters and running statistics, the arrays themselves."""
        network = self.learner.network
        return {"parameters": network.parameters, **network.buffers()}

    def new_record(self) -> dict[str, Array]:
        """Accuracies below all that can come, so that the first epoch is the best so far."""
        names = ("best_test_accuracy", "test_accuracy", "validation_accuracy", "stopping_epoch")
        return {name: xp.full(self.num_runs, -1.0) for name in names}

    # --- classes, outputs and images ----------------------------------------------------------------------------------

    @property
    def num_seen(self) -> int:
        """How many classes have arrived."""
        return (self.increment + 1) * self.settings.classes_per_increment

    def loss(self, outputs: Array, labels: Array) -> tuple[Array, Array]:
        """Cross-entropy over the outputs of the classes seen so far; the others have no gradient."""
        gradient = xp.zeros_like(outputs)  # (R, O, B)
        losses, gradient[:, : self.num_seen] = cross_entropy(outputs[:, : self.num_seen], labels)
        return losses, gradient

    def add_outputs(self) -> None:
        """Fresh weights, biases and momentum for the outputs of the classes that arrive, and zero for those to come."""
        network, per_increment = self.learner.network, self.settings.classes_per_increment
        head = network.dense_layers[-1]
        first = self.num_seen - per_increment
        arriving = np.arange(first, self.num_seen)
        for array in (network.parameters, *self.learner.optimizer.state.values()):
            views = network.views(array)[head.index]
            views["weight"][:, first:] = 0
            views["bias"][:, first:] = 0
        # The first ones are those that the network began with, as increment 0 is the draw of its initial weights.
        head.weight[:, first : self.num_seen] = head.initial_rows(
            network.seeds[:, None], arriving, "initial weight", self.increment
        )

    def places(self, which: range, first: int, last: int) -> tuple[Array, Array]:
        """Where images lie, (R, N), and their labels (N,): `which` of each class, of classes `first` to `last` - 1."""
        classes = xp.asarray(self.class_order[:, first:last])  # (R, classes)
        places = classes[..., None] * self.images_of_class + xp.arange(which.start, which.stop)
        return places.reshape(self.num_runs, -1), xp.repeat(xp.arange(first, last), len(which))

    def inputs(self, places: Array) -> Array:
        """Standardized images (R, C, Y, X, B) from their places (R, B)."""
        images = xp.ascontiguousarray(xp.moveaxis(self.images[places], 1, -1))
        return images * self.factor - self.shift

    def by_channel(self, values: np.ndarray) -> Array:
        return xp.asarray(values.reshape(-1, 1, 1, 1), self.learner.network.dtype)  # (C, 1, 1, 1)

    def mini_batch(self, step: int) -> tuple[Array, Array]:
        """Changed images (R, C, Y, X, B) and labels (R, B) of a step; each epoch has a new order of the images."""
        settings, seeds = self.settings, self.learner.network.seeds
        if (self.increment, self.epoch) != (self.loaded_increment, self.loaded_epoch):
            self.loaded_increment, self.loaded_epoch = self.increment, self.epoch
            places, labels = self.places(self.places_of["training"], 0, self.num_seen)
            number = self.increment * settings.num_epochs + self.epoch
            order = draws.permutation(seeds, "order of examples", len(labels), step=number)  # (R, N)
            self.epoch_places, self.epoch_labels = xp.take_along_axis(places, order, axis=-1), labels[order]
        batch = slice(step * settings.batch_size, (step + 1) * settings.batch_size)
        images = augment(
            self.inputs(self.epoch_places[:, batch]),
            seeds,
            self.learner.num_steps,
            flip=settings.flip,
            crop_padding=settings.crop_padding,
            rotation=settings.rotation,
        )
        return images, self.epoch_labels[:, batch]

    # --- what is measured ---------------------------------------------------------------------------------------------

    def count_right(self, which: str, first: int, stop: int) -> Array:
        """How many images of mini-batches `first` to `stop` - 1 are told right among the classes seen, (R,).

        which   "training", "validation" or "test": a mini-batch is of these images of all classes seen, in order
        """
        network, size = self.learner.network, self.settings.batch_size
        network.begin_evaluation()
        places, labels = self.places(self.places_of[which], 0, self.num_seen)
        num_right = xp.zeros(self.num_runs, int)
        for start in range(first * size, stop * size, size):
            batch = slice(start, start + size)
            outputs = network.forward(self.inputs(places[:, batch]))[-1][:, : self.num_seen]  # (R, seen, B)
            num_right += (xp.argmax(outputs, axis=-2) == labels[batch]).sum(axis=-1)
        return num_right

    def accuracy(self, which: str) -> Array:
        """Percent of the images of each class seen that were told right, (R,), when all of them have been counted."""
        return self.num_right[which] * (100.0 / (self.num_seen * len(self.places_of[which])))

    def diagnose(self) -> dict[str, Array]:
        """What the network is when classes arrive, before it learns from them: (R,) each.

        dormant_units              percent of all hidden units that are active at under 1 % of places and images of the
                                   arriving classes
        dormant_units_on_previous  the same on images of the classes before, NaN where there are none
        stable_rank                of the last hidden layer on the arriving classes, in percent of its units
        weight_magnitude           mean over all parameters
        """
        network = self.learner.network
        measures = {"weight_magnitude": abs(network.parameters).mean(axis=-1)}
        if not network.hidden:
            return measures
        arriving = self.num_seen - self.settings.classes_per_increment
        measures["dormant_units"], measures["stable_rank"] = self.look(arriving, self.num_seen)
        measures["dormant_units_on_previous"] = (
            self.look(0, arriving)[0] if arriving else xp.full(self.num_runs, xp.nan)
        )
        return measures

    def look(self, first: int, last: int) -> tuple[Array, Array]:
        """Percent of dormant units, and stable rank of the last hidden layer in percent of its units, (R,) each.

        On random images of classes `first` to `last` - 1, as when learning normalized by their own mean and variance, but the
        running ones stay as they are.
        """
        network = self.learner.network
        assert isinstance(network, Graph)  # as all with hidden layers are
        places, labels = self.places(range(self.places_of["test"].start), first, last)
        order = draws.permutation(
            network.seeds, "diagnostic images", len(labels), step=self.increment, slot=first
        )  # (R, N)
        places = xp.take_along_axis(places, order[:, : self.settings.num_diagnostic_images], axis=-1)
        statistics = {name: array.copy() for name, array in network.buffers().items()}
        network.begin_step(self.learner.num_steps)
        num_units = [layer.incoming.num_outputs for layer in network.hidden]
        dormant = []
        for features in network.hidden_features(self.inputs(places)):
            dormant.append(diagnostics.dormant_unit_fraction(features))
        for name, array in network.buffers().items():
            array[...] = statistics[name]
        stable_rank = 100 / num_units[-1] * diagnostics.stable_rank(features)
        return diagnostics.percentage_of_units(dormant, num_units), stable_rank

    # --- stopping and going on ----------------------------------------------------------------------------------------

    def state(self) -> dict[str, np.ndarray]:
        """What `restore` needs to go on bit for bit."""
        return {
            **states.prefixed("learner", self.learner.state()),
            **states.prefixed("best", states.copied(self.best)),
            **states.prefixed("record", states.copied(self.record)),
            **states.prefixed("at_start", states.copied(self.at_start.arrays)),
            **states.prefixed("at_end", states.copied(self.at_end.arrays)),
            **states.prefixed("num_right", states.copied(self.num_right)),
            "position": np.array([self.increment, self.epoch, self.step]),
            "finite": to_host(self.finite).copy(),
            "diverged_at": self.diverged_at.copy(),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on where `state` was taken; raises ValueError where it does not fit."""
        parts = "learner.", "best.", "record.", "at_start.", "at_end.", "num_right."
        states.check_names(state, [*parts, "position", "finite", "diverged_at"])
        self.learner.restore(states.part("learner", state))
        self.best = {name: xp.asarray(array) for name, array in states.part("best", state).items()}
        self.record = {name: xp.asarray(array) for name, array in states.part("record", state).items()}
        self.num_right = {name: xp.asarray(array) for name, array in states.part("num_right", state).items()}
        self.at_start.arrays = states.copied(states.part("at_start", state))
        self.at_end.arrays = states.copied(states.part("at_end", state))
        self.increment, self.epoch, self.step = state["position"].tolist()
        self.finite[...] = xp.asarray(state["finite"])
        self.diverged_at = state["diverged_at"].copy()

    def results(self) -> dict[str, np.ndarray]:
        """All measures, (R, num_increments) each, and the increment at which a run diverged, (R,), -1 for never."""
        increments = np.arange(self.settings.num_increments)
        end = np.where(self.diverged_at < 0, self.settings.num_increments, self.diverged_at)[:, None]  # (R, 1)
        return {
            **self.at_end.by_run(increments < end),
            **self.at_start.by_run(increments <= end),
            "diverged_at": self.diverged_at,
        }


def start(
    settings: Settings, learner: LearnerSettings, seeds: Sequence[int], data_folder: Path | None
) -> ClassIncremental:
    """Begin R runs side by side. Raises ValueError (DataError is one) where data or settings cannot be used."""
    return ClassIncremental(settings, learner, seeds, read_images(settings, data_folder))


# Ours, for minutes: fewer, smaller and generated images, fewer classes and epochs, a narrower network. Training images
# are shown as they are: changed ones take more epochs to fit than there are, and then to have begun earlier is what counts.
_LAPTOP = Settings(
    images="easy",
    halvings=2,
    num_classes=12,
    classes_per_increment=2,
    num_training_images=50,
    num_validation_images=10,
    num_test_images=100,
    num_epochs=40,
    batch_size=10,
    flip=False,
    crop_padding=0,
    rotation=0.0,
    widths=(8, 16, 32),
    blocks=(1, 1, 1),
)

SCALES = {
    "smoke": Scale(
        replace(
            _LAPTOP,
            halvings=1,
            num_classes=6,
            num_training_images=20,
            num_validation_images=5,
            num_test_images=10,
            num_epochs=3,
            batch_size=20,
            flip=True,
            crop_padding=2,
            rotation=15.0,
            widths=(4, 4, 8),
            num_diagnostic_images=50,
        ),
        SMALL_LEARNERS,
        default_learners=MAIN_LEARNERS,
        runs=2,
        block=5,
        seconds=0.5,
    ),
    "laptop": Scale(_LAPTOP, SMALL_LEARNERS, default_learners=("l2", *MAIN_LEARNERS), runs=5, block=5, seconds=90),
    "paper": Scale(
        Settings(), PUBLISHED_LEARNERS, default_learners=MAIN_LEARNERS, runs=30, block=5, seconds=21_000_000
    ),
}
