"""R runs of one learner on class-incremental CIFAR-100: increments, epochs, outputs and results."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from minilop import backend
from minilop import state as states
from minilop.backend import Array, to_host, xp
from minilop.learner_settings import LearnerSettings, make_learner
from minilop.losses import cross_entropy
from problems.class_incremental_cifar.early_stopping import EarlyStopping
from problems.class_incremental_cifar.examples import Examples
from problems.class_incremental_cifar.images import read_images
from problems.class_incremental_cifar.measures import count_correct, diagnose
from problems.class_incremental_cifar.network import add_outputs, check_settings, make_network
from problems.class_incremental_cifar.settings import Settings
from problems.shared.curves import Curves

# Images, of all runs together, between two reports of progress.
IMAGES_AT_A_TIME = {"numpy": 500, "cupy": 50_000}


class ClassIncremental:
    """R runs of one learner on a growing number of classes, with the interface of `minilop.experiment.problem.Runs`."""

    def __init__(self, settings: Settings, learner_settings: LearnerSettings, seeds: Sequence[int], images: np.ndarray):
        check_settings(settings, learner_settings, side=images.shape[-1])
        network = make_network(settings, learner_settings, images.shape[2:], seeds)
        self.settings = settings
        self.num_runs = len(seeds)
        self.learner = make_learner(network, self.loss, learner_settings)
        self.reset = learner_settings.reset
        self.initial_step_size = self.learner.optimizer.step_size
        self.examples = Examples(settings, network.seeds, network.dtype, images)
        self.early_stopping = EarlyStopping(network)
        self.increment, self.epoch, self.step = 0, 0, 0  # epoch within the increment, mini-batch within the epoch
        self.num_correct = {name: xp.zeros(self.num_runs, int) for name in self.examples.indices_of}
        self.finite = xp.ones(self.num_runs, bool)  # whether all losses of the increment are finite
        self.diverged_at = np.full(self.num_runs, -1)
        self.at_start = Curves(settings.num_increments, self.num_runs)
        self.at_end = Curves(settings.num_increments, self.num_runs)

    def stages(self, increment: int, epoch: int) -> dict[str, int]:
        """The numbers of mini-batches, by name, that are learned from and then classified in an epoch.

        After the last epoch of an increment, the network selected by early stopping classifies the training images.
        """
        counted = ("validation", "test") if epoch < self.settings.num_epochs else ("training",)
        learned = {"learning": self.settings.steps_per_epoch(increment)} if epoch < self.settings.num_epochs else {}
        return learned | {
            name: self.settings.mini_batches(increment, len(self.examples.indices_of[name])) for name in counted
        }

    @property
    def progress(self) -> float:
        """The fraction of all mini-batches that are done."""
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
        """Learn from the next few mini-batches of an epoch, or count their correctly classified images."""
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
            network, num_seen = self.learner.network, self.num_seen
            self.num_correct[stage] += count_correct(network, self.examples, stage, num_seen, range(first, stop))
        self.step += stop - first
        if self.step == sum(self.stages(self.increment, self.epoch).values()):
            self.end_epoch()
        backend.synchronize()  # so that progress does not run ahead of the device

    def learn(self, first: int, stop: int) -> None:
        """Learn from mini-batches `first` to `stop` - 1 of the epoch."""
        self.learner.optimizer.step_size = self.initial_step_size * self.settings.step_size_at(self.epoch)
        for step in range(first, stop):
            images, labels = self.examples.mini_batch(self.increment, self.epoch, step, self.learner.num_steps)
            _, losses = self.learner.step(images, labels)
            self.finite &= xp.isfinite(losses).all(axis=-1)

    def begin_increment(self) -> None:
        """Begin an increment: diagnose the network, then reset it if the learner is reset."""
        self.at_start.add(self.increment, diagnose(self.learner, self.examples, self.increment))
        if self.increment and self.reset != "nothing":
            self.learner.reset(self.reset, draw=self.increment)
        if self.settings.heads == "paper":
            add_outputs(
                self.learner, self.num_seen - self.settings.classes_per_increment, self.num_seen, self.increment
            )
        self.finite[...] = True
        self.early_stopping.begin()

    def end_epoch(self) -> None:
        """Update early stopping. At the end of an increment, load the best network and record the measures."""
        if self.epoch == self.settings.num_epochs:
            measures = {**self.early_stopping.record, "training_accuracy": self.accuracy("training")}
            self.at_end.add(self.increment, measures)
            self.increment, self.epoch = self.increment + 1, 0
        else:
            self.early_stopping.end_epoch(self.epoch, self.accuracy("validation"), self.accuracy("test"))
            self.epoch += 1
            if self.epoch == self.settings.num_epochs:
                self.end_learning()
        self.step = 0
        for count in self.num_correct.values():
            count[...] = 0

    def end_learning(self) -> None:
        """Record which runs diverged in the increment, and continue with the best network of each run."""
        self.finite &= xp.isfinite(self.learner.network.parameters).all(axis=-1)  # no loss shows the last update
        newly_diverged = (self.diverged_at < 0) & ~to_host(self.finite)
        self.diverged_at[newly_diverged] = self.increment
        self.early_stopping.load_best()

    def accuracy(self, which: str) -> Array:
        """Percentage of correctly classified images of the classes seen, (R,), once all of them have been counted."""
        return self.num_correct[which] * (100.0 / (self.num_seen * len(self.examples.indices_of[which])))

    @property
    def num_seen(self) -> int:
        """The number of classes that have arrived."""
        return self.settings.num_seen(self.increment)

    def loss(self, outputs: Array, labels: Array) -> tuple[Array, Array]:
        """Cross-entropy over the outputs of the classes seen so far; the others have no gradient."""
        gradient = xp.zeros_like(outputs)  # (R, O, B)
        losses, gradient[:, : self.num_seen] = cross_entropy(outputs[:, : self.num_seen], labels)
        return losses, gradient

    def state(self) -> dict[str, np.ndarray]:
        """Everything that `restore` needs to continue exactly."""
        return {
            **states.prefixed("learner", self.learner.state()),
            **states.prefixed("best", states.copied(self.early_stopping.best)),
            **states.prefixed("record", states.copied(self.early_stopping.record)),
            **states.prefixed("at_start", states.copied(self.at_start.arrays)),
            **states.prefixed("at_end", states.copied(self.at_end.arrays)),
            **states.prefixed("num_correct", states.copied(self.num_correct)),
            "position": np.array([self.increment, self.epoch, self.step]),
            "finite": to_host(self.finite).copy(),
            "diverged_at": self.diverged_at.copy(),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue where `state` was taken. Raises ValueError if it does not fit."""
        parts = "learner.", "best.", "record.", "at_start.", "at_end.", "num_correct."
        states.check_names(state, [*parts, "position", "finite", "diverged_at"])
        self.learner.restore(states.part("learner", state))
        self.early_stopping.best = {name: xp.asarray(array) for name, array in states.part("best", state).items()}
        self.early_stopping.record = {name: xp.asarray(array) for name, array in states.part("record", state).items()}
        self.num_correct = {name: xp.asarray(array) for name, array in states.part("num_correct", state).items()}
        self.at_start.arrays = states.copied(states.part("at_start", state))
        self.at_end.arrays = states.copied(states.part("at_end", state))
        self.increment, self.epoch, self.step = state["position"].tolist()
        self.finite[...] = xp.asarray(state["finite"])
        self.diverged_at = state["diverged_at"].copy()

    def results(self) -> dict[str, np.ndarray]:
        """All measures, (R, num_increments) each, and the increment in which a run diverged, (R,), or -1."""
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
    """Begin R runs side by side. Raises DataError for data and ValueError for settings that cannot be used."""
    return ClassIncremental(settings, learner, seeds, read_images(settings, data_folder))
