"""The images of Continual ImageNet: those of the store, or generated classes of the same form."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from minilop import data
from problems.continual_imagenet.settings import Settings
from problems.shared.generated_images import generated_class


def open_images(settings: Settings, data_folder: Path | None) -> Callable[[int], np.ndarray]:
    """A function from a class to its inputs (N, 3, Y, X), single floats centred at zero, training images first.

    Raises DataError where the store is missing or has not what the settings want.
    """
    number = settings.num_training_images + settings.num_test_images
    if settings.images != "imagenet32":

        def centred(class_number: int) -> np.ndarray:
            images = generated_class(class_number, number, settings.images, settings.halvings)
            return images / np.float32(255) - np.float32(0.5)

        return centred
    store = data.open_store(data_folder or Path("data"))
    if settings.num_classes > store.num_classes or number > store.array.shape[1]:
        raise data.DataError(
            f"{settings.num_classes} classes of {number} images are wanted, but the store has {store.num_classes} of "
            f"{store.array.shape[1]}; set num_classes and num_training_images to at most that."
        )
    places = np.r_[
        : settings.num_training_images, store.array.shape[1] - settings.num_test_images : store.array.shape[1]
    ]
    return lambda class_number: store.inputs(class_number)[places]


def data_source(settings: Settings, data_folder: Path | None) -> str:
    """What the images are, the store's with a digest. Raises DataError where the store is missing or damaged."""
    if settings.images != "imagenet32":
        return f"generated images, {settings.images}"
    store = data.open_store(data_folder or Path("data"))
    store.verify()
    return f"{store.title}: {store.num_classes} classes, sha256 {store.fingerprint}"
