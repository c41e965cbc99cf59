"""R runs of one learner on Online Permuted MNIST."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minilop import draws
from minilop.backend import Array, xp
from minilop.learner_settings import LearnerSettings, make_learner
from minilop.losses import cross_entropy
from problems.permuted_mnist.digits import load_digits
from problems.permuted_mnist.settings import Settings
from problems.shared.online import OnlineRuns, make_network


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
        """Draw the order of the examples and the permutation of the pixels for a task."""
        if task != self.task:
            self.task = task
            num_images, num_pixels = self.images.shape
            order = draws.permutation(self.seeds, "order of examples", num_images, step=task)
            self.order = order[:, : self.settings.task_length]  # (R, T)
            self.pixels = draws.permutation(self.seeds, "permutation of pixels", num_pixels, step=task)  # (R, pixels)

    def permuted(self, order: Array) -> Array:
        """The images with indices `order` (R, n), with their pixels permuted, (n, R, pixels)."""
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


def start(
    settings: Settings, learner: LearnerSettings, seeds: Sequence[int], data_folder: Path | None
) -> PermutedDigits:
    """Begin R runs side by side. Raises DataError if a data file is missing or damaged."""
    return PermutedDigits(settings, learner, seeds, *load_digits(settings, data_folder))
