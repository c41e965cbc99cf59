"""The images of class-incremental CIFAR-100 as R runs see them: ever more classes, each run in an order of its own."""

import numpy as np

from minilop import draws
from minilop.backend import Array, to_host, xp
from minilop.data.augmentation import augment
from problems.class_incremental_cifar.images import MEAN_AND_DEVIATION
from problems.class_incremental_cifar.settings import Settings


class Examples:
    """Places, inputs, labels and mini-batches of R runs, which share the images.

    images        bytes (K N, C, Y, X): K classes of N images, as `read_images` makes them
    class_order   (R, K) on the host: the classes of each run in the order in which they arrive
    places_of     which images of a class are for "training", "validation" and "test"
    """

    def __init__(self, settings: Settings, seeds: np.ndarray, dtype: str, images: np.ndarray):
        self.settings = settings
        self.seeds = seeds
        self.images = xp.asarray(images.reshape(-1, *images.shape[2:]))
        self.images_per_class = images.shape[1]
        self.class_order = to_host(draws.permutation(seeds, "order of classes", settings.num_classes))
        validation_from = settings.num_training_images
        test_from = validation_from + settings.num_validation_images
        self.places_of = {
            "training": range(validation_from),
            "validation": range(validation_from, test_from),
            "test": range(test_from, images.shape[1]),
        }
        mean, deviation = MEAN_AND_DEVIATION["cifar100" if settings.images == "cifar100" else "generated"]
        by_channel = (-1, 1, 1, 1)  # (C, 1, 1, 1)
        self.factor = xp.asarray((1 / (255 * np.array(deviation))).reshape(by_channel), dtype)
        self.shift = xp.asarray((np.array(mean) / deviation).reshape(by_channel), dtype)
        self.shuffled_epoch = (-1, -1)  # increment and epoch whose order is in `epoch_places`

    def places(self, which: range, first: int, last: int) -> tuple[Array, Array]:
        """Where images lie, (R, N), and their labels (N,): `which` of each class, of classes `first` to `last` - 1."""
        classes = xp.asarray(self.class_order[:, first:last])  # (R, classes)
        places = classes[..., None] * self.images_per_class + xp.arange(which.start, which.stop)
        return places.reshape(len(self.seeds), -1), xp.repeat(xp.arange(first, last), len(which))

    def inputs(self, places: Array) -> Array:
        """Standardized images (R, C, Y, X, B) from their places (R, B)."""
        images = xp.ascontiguousarray(xp.moveaxis(self.images[places], 1, -1))
        return images * self.factor - self.shift

    def mini_batch(self, increment: int, epoch: int, step: int, num_steps: int) -> tuple[Array, Array]:
        """Augmented images (R, C, Y, X, B) and labels (R, B) of a step of an epoch; each epoch has a new order.

        num_steps   that the learner has taken so far: the number of the augmentation's draw
        """
        settings = self.settings
        if (increment, epoch) != self.shuffled_epoch:
            self.shuffled_epoch = (increment, epoch)
            places, labels = self.places(self.places_of["training"], 0, settings.num_seen(increment))
            number = increment * settings.num_epochs + epoch
            order = draws.permutation(self.seeds, "order of examples", len(labels), step=number)  # (R, N)
            self.epoch_places, self.epoch_labels = xp.take_along_axis(places, order, axis=-1), labels[order]
        batch = slice(step * settings.batch_size, (step + 1) * settings.batch_size)
        images = augment(
            self.inputs(self.epoch_places[:, batch]),
            self.seeds,
            num_steps,
            flip=settings.flip,
            crop_padding=settings.crop_padding,
            rotation=settings.rotation,
        )
        return images, self.epoch_labels[:, batch]
