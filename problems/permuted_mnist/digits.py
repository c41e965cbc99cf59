"""The digits of Online Permuted MNIST: real or generated, included in the package or from official files."""

from pathlib import Path

import numpy as np

from minilop import data
from problems.permuted_mnist.settings import Settings

DIGITS = {
    "handwritten": "1,797 real handwritten digits of 8 x 8 pixels (UCI)",
    "synthetic": "generated digits",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
}


def read_digits(settings: Settings, data_folder: Path | None) -> tuple[str, np.ndarray, np.ndarray]:
    """The title of the data set, the images (N, Y, X) and the labels (N,), as bytes.

    Raises DataError if files are missing, damaged or of another known data set, or if there are too few digits.
    """
    title = DIGITS[settings.digits]
    if settings.digits == "handwritten":
        images, labels = data.handwritten_digits()
    elif settings.digits == "synthetic":
        images, labels = data.synthetic_digits(np.arange(settings.task_length))
    else:
        title, images, labels = data.identify_training_set(data_folder or Path("data"), settings.digits)
    if settings.task_length > len(images):
        raise data.DataError(
            f"task_length is {settings.task_length}, but there are only {len(images)} {settings.digits} digits; "
            "set it to at most this number."
        )
    return title, images, labels


def load_digits(settings: Settings, data_folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, pixels) from 0 to 1 and labels (N,). Raises DataError as `read_digits`."""
    _, images, labels = read_digits(settings, data_folder)
    for _ in range(settings.halvings):
        images = data.halve(images)
    largest = 16 if settings.digits == "handwritten" else 255
    return images.reshape(len(images), -1) / np.float32(largest), labels


def data_source(settings: Settings, data_folder: Path | None) -> str:
    """A description of the examples, with a digest. Raises DataError if a data file is missing or damaged."""
    title, images, labels = read_digits(settings, data_folder)
    return f"{title}: {len(labels):,} images, sha256 {data.fingerprint(images, labels)}"
