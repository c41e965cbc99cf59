"""The images of class-incremental CIFAR-100: the official ones, or generated classes of the same format."""

from pathlib import Path

import numpy as np

from minilop import data
from problems.class_incremental_cifar.settings import Settings
from problems.shared.generated_images import generated_class

MEAN_AND_DEVIATION = {
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),  # published, of bytes / 255
    "generated": ((0.4, 0.4, 0.4), (0.22, 0.22, 0.22)),  # approximately those of all three presets
}


def read_images(settings: Settings, data_folder: Path | None) -> np.ndarray:
    """Images (K, N, 3, Y, X), as bytes. Each class has its training, then its validation, then its test images.

    Raises DataError if files are missing or damaged, or have fewer classes or images than the settings require.
    """
    return _identify_images(settings, data_folder)[1]


def _identify_images(settings: "Settings", data_folder: Path | None) -> tuple[str, np.ndarray]:
    """The title of the data set, and the images as in `read_images`."""
    numbers = (settings.num_training_images, settings.num_validation_images, settings.num_test_images)
    if settings.images != "cifar100":
        return f"generated images, {settings.images}", np.stack(
            [
                generated_class(number, sum(numbers), settings.images, settings.halvings)
                for number in range(settings.num_classes)
            ]
        )
    folder = data_folder or Path("data")
    title, images, labels = data.identify_cifar100(folder, "train")
    test_title, test_images, test_labels = data.identify_cifar100(folder, "test")
    indices = (
        *data.incremental_split(labels, settings.num_validation_images),
        data.incremental_split(test_labels, 0)[0],  # by class, without a validation set
    )  # (classes, images of a class) each
    for available, number in zip(indices, numbers):
        if available.shape[0] < settings.num_classes or available.shape[1] < number:
            raise data.DataError(
                f"{settings.num_classes} classes of {' + '.join(map(str, numbers))} images are needed, but a set of "
                f"CIFAR-100 has {available.shape[0]} classes of {available.shape[1]}; use the "
                "complete files, or set fewer classes or images."
            )
    chosen = [available[: settings.num_classes, :number] for available, number in zip(indices, numbers)]
    together = np.concatenate([images[chosen[0]], images[chosen[1]], test_images[chosen[2]]], axis=1)
    return (test_title if title == "CIFAR-100" else title), together  # the title that is not official, if there is one


def data_source(settings: Settings, data_folder: Path | None) -> str:
    """A description of the images; official ones have a digest. Raises DataError if files are missing or damaged."""
    if settings.images != "cifar100":
        return f"generated images, {settings.images}"
    title, images = _identify_images(settings, data_folder)
    return f"{title}: {images.shape[0]} classes of {images.shape[1]} images, sha256 {data.fingerprint(images)}"
