"""The examples of class-incremental CIFAR-100. The classes arrive in a different random order in each run."""

import numpy as np

from minilop import draws
from minilop.backend import Array, to_host, xp
from minilop.data.augmentation import augment
from problems.class_incremental_cifar.images import MEAN_AND_DEVIATION
from problems.class_incremental_cifar.settings import Settings


class Examples:
    """Indices, inputs, labels and mini-batches of the images, which all R runs share.

    images        bytes (K N, C, Y, X): K classes of N images, in the order of `read_images`
    class_order   (R, K) on the host: the classes of each run in their order of arrival
    indices_of    indices, within a class, of the images for "training", "validation" and "test"
    """

    def __init__(self, settings: Settings, seeds: np.ndarray, dtype: str, images: np.ndarray):
        self.settings = settings
        self.seeds = seeds
        self.images = xp.asarray(images.reshape(-1, *images.shape[2:]))
        self.images_per_class = images.shape[1]
        self.class_order = to_host(draws.permutation(seeds, "order of classes", settings.num_classes))
        validation_from = settings.num_training_images
        test_from = validation_from + settings.num_validation_images
        self.indices_of = {
            "training": range(validation_from),
            "validation": range(validation_from, test_from),
            "test": range(test_from, images.shape[1]),
        }
        mean, deviation = MEAN_AND_DEVIATION["cifar100" if settings.images == "cifar100" else "generated"]
        by_channel = (-1, 1, 1, 1)  # (C, 1, 1, 1)
        self.factor = xp.asarray((1 / (255 * np.array(deviation))).reshape(by_channel), dtype)
        self.shift = xp.asarray((np.array(mean) / deviation).reshape(by_channel), dtype)
        self.shuffled_epoch = (-1, -1)  # increment and epoch of `epoch_indices`

    def indices(self, which: range, first: int, last: int) -> tuple[Array, Array]:
        """Indices (R, N) and labels (N,) of images: `which` of each class, for classes `first` to `last` - 1."""
        classes = xp.asarray(self.class_order[:, first:last])  # (R, classes)
        indices = classes[..., None] * self.images_per_class + xp.arange(which.start, which.stop)
        return indices.reshape(len(self.seeds), -1), xp.repeat(xp.arange(first, last), len(which))

    def inputs(self, indices: Array) -> Array:
        """Standardized images (R, C, Y, X, B) with indices (R, B)."""
        images = xp.ascontiguousarray(xp.moveaxis(self.images[indices], 1, -1))
        return images * self.factor - self.shift

    def mini_batch(self, increment: int, epoch: int, step: int, num_steps: int) -> tuple[Array, Array]:
        """Augmented images (R, C, Y, X, B) and labels (R, B) of a step of an epoch; each epoch has a new order.

        num_steps   steps that the learner has taken, the index of the draw for augmentation
        """
        settings = self.settings
        if (increment, epoch) != self.shuffled_epoch:
            self.shuffled_epoch = (increment, epoch)
            indices, labels = self.indices(self.indices_of["training"], 0, settings.num_seen(increment))
            number = increment * settings.num_epochs + epoch
            order = draws.permutation(self.seeds, "order of examples", len(labels), step=number)  # (R, N)
            self.epoch_indices, self.epoch_labels = xp.take_along_axis(indices, order, axis=-1), labels[order]
        batch = slice(step * settings.batch_size, (step + 1) * settings.batch_size)
        images = augment(
            self.inputs(self.epoch_indices[:, batch]),
            self.seeds,
            num_steps,
            flip=settings.flip,
            crop_padding=settings.crop_padding,
            rotation=settings.rotation,
        )
        return images, self.epoch_labels[:, batch]
