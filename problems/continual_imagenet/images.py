"""The images of Continual ImageNet: those of the store, or generated classes of the same format."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from minilop import data
from problems.continual_imagenet.settings import Settings
from problems.shared.generated_images import generated_class


def open_images(settings: Settings, data_folder: Path | None) -> Callable[[int], np.ndarray]:
    """A function from a class to its inputs (N, 3, Y, X), float32 centered at zero, training images first.

    Raises DataError if the store is missing or has fewer classes or images than the settings require.
    """
    number = settings.num_training_images + settings.num_test_images
    if settings.images != "imagenet32":

        def centered(class_number: int) -> np.ndarray:
            images = generated_class(class_number, number, settings.images, settings.halvings)
            return images / np.float32(255) - np.float32(0.5)

        return centered
    store = data.open_store(data_folder or Path("data"))
    if settings.num_classes > store.num_classes or number > store.array.shape[1]:
        raise data.DataError(
            f"{settings.num_classes} classes of {number} images are needed, but the store has {store.num_classes} of "
            f"{store.array.shape[1]}; set num_classes and num_training_images to at most that."
        )
    chosen = np.r_[
        : settings.num_training_images, store.array.shape[1] - settings.num_test_images : store.array.shape[1]
    ]
    return lambda class_number: store.inputs(class_number)[chosen]


def data_source(settings: Settings, data_folder: Path | None) -> str:
    """A description of the images, with a digest of the store. Raises DataError if it is missing or damaged."""
    if settings.images != "imagenet32":
        return f"generated images, {settings.images}"
    store = data.open_store(data_folder or Path("data"))
    store.verify()
    return f"{store.title}: {store.num_classes} classes, sha256 {store.fingerprint}"
