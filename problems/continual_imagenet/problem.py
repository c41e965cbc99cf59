"""R runs of one learner on Continual ImageNet: tasks, mini-batches, and the measures of each task."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from minilop import backend, diagnostics, draws
from minilop import state as states
from minilop.backend import Array, to_host, xp
from minilop.learner_settings import LearnerSettings, make_convnet, make_learner
from minilop.losses import cross_entropy
from problems.continual_imagenet.images import open_images
from problems.continual_imagenet.settings import Settings
from problems.shared.curves import Curves
from problems.shared.generated_images import check_one_example

# Images, of all runs together, between two reports of progress.
IMAGES_AT_A_TIME = {"numpy": 4000, "cupy": 100_000}


class ImagePairs:
    """R runs of one learner on their sequences of tasks, with the interface of `minilop.experiment.problem.Runs`."""

    def __init__(
        self,
        settings: Settings,
        learner_settings: LearnerSettings,
        seeds: Sequence[int],
        read_class: Callable[[int], np.ndarray],
    ):
        if learner_settings.network.batch_norm and settings.batch_size == 1:
            raise ValueError("batch_norm needs mini-batches; choose a batch_size of at least 2")
        check_one_example(learner_settings, settings.batch_size)
        self.settings = settings
        self.read_class = read_class
        self.num_runs = len(seeds)
        self.input_shape = read_class(0).shape[1:]
        kernels = tuple(zip(settings.num_channels, settings.kernel_sizes))
        network = make_convnet(
            self.input_shape, kernels, settings.dense_units, 2, learner_settings, seeds, settings.initialization
        )
        self.learner = make_learner(network, cross_entropy, learner_settings)
        self.reset = learner_settings.reset
        self.task, self.step = 0, 0  # the step within the task
        self.loaded_task, self.loaded_epoch = -1, -1
        self.training_images: Array = None
        self.test_images: Array = None
        self.epoch_images: Array = None
        self.finite = xp.ones(self.num_runs, bool)  # whether all losses of the task so far are finite
        self.diverged_at = np.full(self.num_runs, -1)
        self.at_start = Curves(settings.num_tasks, self.num_runs)
        self.at_end = Curves(settings.num_tasks, self.num_runs)

    @property
    def progress(self) -> float:
        """The fraction of all steps that are done."""
        steps = self.settings.steps_per_task
        return (self.task * steps + self.step) / (self.settings.num_tasks * steps)

    def advance(self) -> None:
        """Learn from the next few mini-batches; measure the network when a task begins or ends."""
        settings = self.settings
        if self.step == 0:
            self.begin_task()
        steps = max(1, backend.choose(IMAGES_AT_A_TIME) // (self.num_runs * settings.batch_size))
        stop = min(self.step + steps, settings.steps_per_task)
        for step in range(self.step, stop):
            _, losses = self.learner.step(*self.mini_batch(step))
            self.finite &= xp.isfinite(losses).all(axis=-1)
        self.step = stop
        if self.step == settings.steps_per_task:
            self.end_task()
            self.task, self.step = self.task + 1, 0
        backend.synchronize()  # so that progress does not run ahead of the device

    def classes(self) -> np.ndarray:
        """The two classes of the current task of each run, (R, 2), the same for all learners."""
        seeds, number = self.learner.network.seeds, self.settings.num_classes
        round_, pair = divmod(self.task, number // 2)
        return to_host(draws.permutation(seeds, "order of classes", number, step=round_))[:, 2 * pair : 2 * pair + 2]

    def load_task(self) -> None:
        """Copy the training and test images of the current task, (R, 3, Y, X, N), to the device."""
        if self.loaded_task == self.task:
            return
        network, settings = self.learner.network, self.settings
        self.training_images = self.test_images = self.epoch_images = None  # frees memory for the next ones
        shape = (self.num_runs, *self.input_shape)  # (R, 3, Y, X)
        images = np.empty((*shape, 2, settings.num_training_images + settings.num_test_images), network.dtype)
        for run, pair in enumerate(self.classes()):
            for label, class_number in enumerate(pair):
                images[run, ..., label, :] = np.moveaxis(self.read_class(int(class_number)), 0, -1)
        self.training_images, self.test_images = (
            xp.asarray(part.reshape(*shape, -1)) for part in np.split(images, [settings.num_training_images], axis=-1)
        )
        self.loaded_task, self.loaded_epoch = self.task, -1

    def labels(self, images: Array) -> Array:
        """Labels (N,): 0 for the first half of the images, which are of the first class, 1 for the second half."""
        number = images.shape[-1]
        return (xp.arange(number) >= number // 2).astype(int)

    def mini_batch(self, step: int) -> tuple[Array, Array]:
        """Images (R, 3, Y, X, B) and labels (R, B) of a step of the current task; each epoch has a new order."""
        self.load_task()
        batches = 2 * self.settings.num_training_images // self.settings.batch_size
        epoch, index = divmod(step, batches)
        if epoch != self.loaded_epoch:
            self.loaded_epoch = epoch
            number = self.task * self.settings.num_epochs + epoch
            order = draws.permutation(
                self.learner.network.seeds, "order of examples", self.training_images.shape[-1], step=number
            )  # (R, N)
            # All images of the epoch are reordered at once, because long arrays are copied faster than short ones.
            self.epoch_images = xp.stack(
                [images[..., of_run] for images, of_run in zip(self.training_images, order)]
            )  # (R, 3, Y, X, N)
            self.epoch_labels = self.labels(self.training_images)[order]  # (R, N)
        batch = slice(index * self.settings.batch_size, (index + 1) * self.settings.batch_size)
        return self.epoch_images[..., batch], self.epoch_labels[:, batch]

    def begin_task(self) -> None:
        """Set the output layer to zero, reset the network if the learner is reset, and diagnose it."""
        learner = self.learner
        if self.task and self.reset != "nothing":
            learner.reset(self.reset, draw=self.task)
        head = learner.network.dense_layers[-1]
        head.weight[...] = 0
        head.bias[...] = 0
        for rule in learner.rules:
            rule.layers_reset([head])
        self.finite[...] = True
        self.load_task()
        self.at_start.add(self.task, self.diagnose())

    def end_task(self) -> None:
        """Measure the learner. A run has diverged if its losses or parameters are not all finite."""
        self.finite &= xp.isfinite(self.learner.network.parameters).all(axis=-1)  # no loss shows the last update
        newly_diverged = (self.diverged_at < 0) & ~to_host(self.finite)
        self.diverged_at[newly_diverged] = self.task
        magnitude = diagnostics.weight_magnitude(layer.rows() for layer in self.learner.network.weighted_layers)
        self.at_end.add(
            self.task,
            {
                "test_accuracy": self.accuracy(self.test_images),
                "training_accuracy": self.accuracy(self.training_images),
                "weight_magnitude": magnitude,
            },
        )

    def values(self, images: Array) -> Iterator[list[Array]]:
        """Outputs of all layers in evaluation for images (R, 3, Y, X, N), mini-batch by mini-batch."""
        network, size = self.learner.network, self.settings.batch_size
        network.begin_evaluation()
        return (network.forward(images[..., start : start + size]) for start in range(0, images.shape[-1], size))

    def accuracy(self, images: Array) -> Array:
        """Percent of the images (R, 3, Y, X, N) that are classified correctly, (R,)."""
        outputs = xp.concatenate([values[-1] for values in self.values(images)], axis=-1)  # (R, 2, N)
        return 100.0 * (xp.argmax(outputs, axis=-2) == self.labels(images)).mean(axis=-1)

    def diagnose(self) -> dict[str, Array]:
        """Dormant units of all hidden layers and stable rank of the last one, as percentages of the units, (R,) each.

        Measured on the test images of the task that begins, before learning it.
        """
        hidden = self.learner.network.hidden
        if not hidden:
            return {}
        batches = [[layer.unit_features(values) for layer in hidden] for values in self.values(self.test_images)]
        features = [xp.concatenate(parts, axis=-1) for parts in zip(*batches)]  # (R, H, N) each
        dormant = [diagnostics.dormant_unit_fraction(h) for h in features]
        return {
            "dormant_units": diagnostics.percentage_of_units(dormant, [h.shape[-2] for h in features]),
            "stable_rank": 100 / features[-1].shape[-2] * diagnostics.stable_rank(features[-1]),
        }

    def state(self) -> dict[str, np.ndarray]:
        """Everything that `restore` needs to continue exactly."""
        return {
            **states.prefixed("learner", self.learner.state()),
            **states.prefixed("at_start", states.copied(self.at_start.arrays)),
            **states.prefixed("at_end", states.copied(self.at_end.arrays)),
            "task": np.array(self.task),
            "step": np.array(self.step),
            "finite": to_host(self.finite).copy(),
            "diverged_at": self.diverged_at.copy(),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue where `state` was taken. Raises ValueError if it does not fit."""
        states.check_names(state, ["learner.", "at_start.", "at_end.", "task", "step", "finite", "diverged_at"])
        self.learner.restore(states.part("learner", state))
        self.at_start.arrays = states.copied(states.part("at_start", state))
        self.at_end.arrays = states.copied(states.part("at_end", state))
        self.task, self.step = int(state["task"]), int(state["step"])
        self.finite[...] = xp.asarray(state["finite"])
        self.diverged_at = state["diverged_at"].copy()

    def results(self) -> dict[str, np.ndarray]:
        """All measures, (R, num_tasks) each, and the task in which a run diverged, (R,), or -1."""
        tasks = np.arange(self.settings.num_tasks)
        end = np.where(self.diverged_at < 0, self.settings.num_tasks, self.diverged_at)[:, None]  # (R, 1)
        return {
            **self.at_end.by_run(tasks < end),
            **self.at_start.by_run(tasks <= end),
            "diverged_at": self.diverged_at,
        }


def start(settings: Settings, learner: LearnerSettings, seeds: Sequence[int], data_folder: Path | None) -> ImagePairs:
    """Begin R runs side by side. Raises DataError for data and ValueError for settings that cannot be used."""
    return ImagePairs(settings, learner, seeds, open_images(settings, data_folder))
