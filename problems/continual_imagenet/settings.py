"""The settings of Continual ImageNet, and their values at each scale."""

from dataclasses import dataclass, replace
from typing import Literal

from minilop.checks import check_range
from minilop.experiment.problem import Scale
from minilop.initialization import Scheme
from problems.continual_imagenet.learners import (
    MAIN_LEARNERS,
    OVERNIGHT_LEARNERS,
    PUBLISHED_LEARNERS,
    SMALL_LEARNERS,
)
from problems.shared.generated_images import check_halvings


@dataclass(frozen=True)
class Settings:
    """The settings of the problem; values of the paper unless noted.

    images   imagenet32: the store that `python -m minilop.data imagenet32` makes, in the folder given with --data;
             hard, medium, easy: generated classes of 32 x 32 pixels; hard ones are about as hard as ImageNet's
    """

    images: Literal["imagenet32", "hard", "medium", "easy"] = "imagenet32"
    halvings: int = 0  # number of times that 2 x 2 pixels of generated images are averaged into one
    num_classes: int = 1000
    num_tasks: int = 5000
    num_training_images: int = 600  # of a class
    num_test_images: int = 100  # of a class
    num_epochs: int = 250
    batch_size: int = 100
    num_channels: tuple[int, ...] = (32, 64, 128)  # of the convolutions, each with 2 x 2 max-pooling
    kernel_sizes: tuple[int, ...] = (5, 3, 3)
    dense_units: tuple[int, ...] = (128, 128)
    initialization: Scheme = "default"
    bin_size: int = 50  # tasks averaged into one point of the figures

    def __post_init__(self) -> None:
        """Raises ValueError for values that are out of range or inconsistent."""
        check_range(self, "num_tasks num_training_images num_test_images num_epochs batch_size bin_size", 1)
        check_range(self, "num_classes", 2)
        check_range(self, "halvings", 0)
        if 2 * self.num_training_images % self.batch_size:
            raise ValueError(
                f"batch_size, {self.batch_size}, must divide the {2 * self.num_training_images} images of an epoch"
            )
        if self.num_tasks % self.bin_size:
            raise ValueError(f"num_tasks, {self.num_tasks}, must be a multiple of bin_size, {self.bin_size}")
        if not self.num_channels or len(self.num_channels) != len(self.kernel_sizes):
            raise ValueError("num_channels and kernel_sizes need one number for each convolution, at least one")
        if min(*self.num_channels, *self.kernel_sizes, *self.dense_units) < 1:
            raise ValueError("num_channels, kernel_sizes and dense_units must be at least 1 each")
        check_halvings(self.images, self.halvings)

    @property
    def steps_per_task(self) -> int:
        return self.num_epochs * 2 * self.num_training_images // self.batch_size


# Ours, for runs of minutes: small images, a small network, and few short tasks.
_LAPTOP = Settings(
    images="hard",
    halvings=1,
    num_classes=200,
    num_tasks=60,
    num_training_images=200,
    num_test_images=50,
    num_epochs=10,
    batch_size=20,
    num_channels=(8, 16),
    kernel_sizes=(5, 3),
    dense_units=(32, 32),
    initialization="kaiming",
    bin_size=5,
)
# Ours, for hours: as many tasks as are published of backprop, of half the length that they have at laptop scale.
_OVERNIGHT = replace(_LAPTOP, num_tasks=2000, num_epochs=5, bin_size=50)
SCALES = {
    "smoke": Scale(
        replace(_LAPTOP, num_tasks=2, num_training_images=20, num_test_images=20, num_epochs=2, bin_size=1),
        {**PUBLISHED_LEARNERS, **SMALL_LEARNERS},
        default_learners=(*MAIN_LEARNERS, "continual_backprop_l2", "backprop_step_0.01"),
        runs=2,
        block=5,
        seconds=0.5,
    ),
    "laptop": Scale(
        _LAPTOP,
        {**PUBLISHED_LEARNERS, **SMALL_LEARNERS},
        default_learners=(*MAIN_LEARNERS, "continual_backprop_l2", "backprop_step_0.01"),
        runs=5,
        block=5,
        seconds=40,
    ),
    "overnight": Scale(
        _OVERNIGHT,
        {**PUBLISHED_LEARNERS, **OVERNIGHT_LEARNERS},
        default_learners=("backprop", "l2", "shrink_and_perturb", "continual_backprop_l2", "linear", "fresh"),
        runs=10,
        block=5,
        seconds=640,
    ),
    # All runs side by side, to keep a GPU busy.
    "paper": Scale(
        Settings(),
        PUBLISHED_LEARNERS,
        default_learners=(*MAIN_LEARNERS, "backprop_step_0.001", "backprop_step_0.0001"),
        runs=30,
        block=30,
        seconds=23_000_000,
    ),
}
