"""The settings of class-incremental CIFAR-100, and their values at each scale."""

from dataclasses import dataclass, replace
from typing import Literal

from minilop.checks import check_range
from minilop.experiment.problem import Scale
from problems.class_incremental_cifar.learners import MAIN_LEARNERS, PUBLISHED_LEARNERS, SMALL_LEARNERS
from problems.shared.generated_images import check_halvings


@dataclass(frozen=True)
class Settings:
    """The settings of the problem; values of the paper unless noted.

    images   cifar100: the official files in the folder given with --data; hard, medium, easy: generated classes
    heads    published_code: all outputs exist from the start; paper: outputs are initialized when their classes arrive
    """

    images: Literal["cifar100", "hard", "medium", "easy"] = "cifar100"
    halvings: int = 0  # number of times that 2 x 2 pixels of generated images are averaged into one
    num_classes: int = 100  # the first classes of the data; they arrive in random order
    classes_per_increment: int = 5
    num_training_images: int = 450  # of a class
    num_validation_images: int = 50  # of a class
    num_test_images: int = 100  # of a class
    num_epochs: int = 200  # of an increment
    batch_size: int = 90
    step_size_falls: tuple[float, ...] = (0.3, 0.6, 0.8)  # fractions of an increment's epochs, at each of which
    step_size_factor: float = 0.2  # the step size is multiplied by this; each increment starts again
    heads: Literal["published_code", "paper"] = "published_code"
    flip: bool = True  # augmentation of training images, see minilop/data/augmentation.py
    crop_padding: int = 4
    rotation: float = 15.0  # degrees, at most
    widths: tuple[int, ...] = (64, 128, 256, 512)  # channels of the stages of the residual network
    blocks: tuple[int, ...] = (2, 2, 2, 2)  # of each stage
    num_diagnostic_images: int = 1000

    def __post_init__(self) -> None:
        """Raises ValueError for values that are out of range or inconsistent."""
        check_range(self, "classes_per_increment num_training_images num_validation_images num_test_images", 1)
        check_range(self, "num_epochs num_diagnostic_images", 1)
        check_range(self, "num_classes batch_size", 2)
        check_range(self, "halvings crop_padding rotation step_size_factor", 0)
        if self.num_classes % self.classes_per_increment:
            raise ValueError(
                f"num_classes, {self.num_classes}, must be a multiple of classes_per_increment, "
                f"{self.classes_per_increment}"
            )
        if not self.widths or len(self.widths) != len(self.blocks):
            raise ValueError("widths and blocks need one number for each stage of the network, at least one")
        if not all(0 <= share <= 1 for share in self.step_size_falls):
            raise ValueError(
                f"step_size_falls are shares of an increment's epochs, from 0 to 1, not {self.step_size_falls}"
            )
        check_halvings(self.images, self.halvings)

    @property
    def num_increments(self) -> int:
        return self.num_classes // self.classes_per_increment

    def num_seen(self, increment: int) -> int:
        """The number of classes that have arrived by then."""
        return (increment + 1) * self.classes_per_increment

    def steps_per_epoch(self, increment: int) -> int:
        return self.mini_batches(increment, self.num_training_images)

    def mini_batches(self, increment: int, num_images: int) -> int:
        """The number of mini-batches for `num_images` images of each class seen; the last one may be smaller."""
        return -(-self.num_seen(increment) * num_images // self.batch_size)

    def step_size_at(self, epoch: int) -> float:
        """The factor of the step size in an epoch of an increment: 1, 0.2, 0.04 and 0.008 as published."""
        milestones = [max(1, round(share * self.num_epochs)) for share in self.step_size_falls]
        return self.step_size_factor ** sum(epoch >= milestone for milestone in milestones)


# Ours, for runs of minutes: fewer, smaller and generated images, fewer classes and epochs, a narrower network. Training
# images are not augmented, because augmented images take more epochs to fit than there are.
_LAPTOP = Settings(
    images="easy",
    halvings=2,
    num_classes=12,
    classes_per_increment=2,
    num_training_images=50,
    num_validation_images=10,
    num_test_images=100,
    num_epochs=40,
    batch_size=10,
    flip=False,
    crop_padding=0,
    rotation=0.0,
    widths=(8, 16, 32),
    blocks=(1, 1, 1),
)
# Ours, for hours: as many classes and increments as published.
_OVERNIGHT = replace(_LAPTOP, num_classes=100, classes_per_increment=5, num_epochs=25)
SCALES = {
    "smoke": Scale(
        replace(
            _LAPTOP,
            halvings=1,
            num_classes=6,
            num_training_images=20,
            num_validation_images=5,
            num_test_images=10,
            num_epochs=3,
            batch_size=20,
            flip=True,
            crop_padding=2,
            rotation=15.0,
            widths=(4, 4, 8),
            num_diagnostic_images=50,
        ),
        SMALL_LEARNERS,
        default_learners=MAIN_LEARNERS,
        runs=2,
        block=5,
        seconds=0.5,
    ),
    "laptop": Scale(_LAPTOP, SMALL_LEARNERS, default_learners=("l2", *MAIN_LEARNERS), runs=5, block=5, seconds=90),
    "overnight": Scale(
        _OVERNIGHT,
        SMALL_LEARNERS,
        default_learners=("backprop", "l2", "shrink_and_perturb", "continual_backprop", "retrained"),
        runs=3,
        block=3,
        seconds=900,
    ),
    "paper": Scale(
        Settings(), PUBLISHED_LEARNERS, default_learners=MAIN_LEARNERS, runs=30, block=5, seconds=21_000_000
    ),
}
