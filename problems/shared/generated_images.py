"""Code shared by the problems with images: generated classes instead of official ones, and checks of settings."""

from functools import lru_cache

import numpy as np

from minilop import data
from minilop.learner_settings import LearnerSettings

CLASSES_KEPT = 200  # in memory: all classes at laptop scale; 0.4 GB if a class has 700 images of 32 x 32 pixels
OFFICIAL = ("imagenet32", "cifar100")


@lru_cache(CLASSES_KEPT)
def generated_class(class_number: int, number: int, preset: str, halvings: int) -> np.ndarray:
    """The first `number` images of a generated class, (N, 3, Y, X), as bytes; cached for later runs in this process."""
    images = data.synthetic_objects(class_number, range(number), preset)
    for _ in range(halvings):
        images = data.halve(images)
    return images


def check_halvings(images: str, halvings: int) -> None:
    """Raises ValueError if official images are to be downsampled."""
    if images in OFFICIAL and halvings:
        raise ValueError(
            f"halvings={halvings} is for generated images; set halvings=0 too, or choose images=hard, medium or easy"
        )


def check_one_example(settings: LearnerSettings, batch_size: int) -> None:
    """Raises ValueError for mini-batches if the optimizer learns from one example per step."""
    if settings.optimizer.learns_from_one_example and batch_size > 1:
        name = settings.optimizer.name
        raise ValueError(f"{name} learns from one example per step; choose a batch_size of 1 or another optimizer")
