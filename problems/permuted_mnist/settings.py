"""The settings of Online Permuted MNIST, and their values at each scale."""

from dataclasses import dataclass, replace
from typing import Literal

from minilop.checks import check_range
from minilop.experiment.problem import Scale
from problems.permuted_mnist.learners import MAIN_LEARNERS, PUBLISHED_LEARNERS, SMALL_LEARNERS, STEP_SIZE_LEARNERS


@dataclass(frozen=True)
class Settings:
    """The settings of the problem; values of the paper unless noted.

    digits   handwritten: 1,797 real digits of 8 x 8 pixels, included in minilop; synthetic: generated, 28 x 28;
             mnist, fashion_mnist: the official training files, in the folder given with --data
    """

    digits: Literal["handwritten", "synthetic", "mnist", "fashion_mnist"] = "mnist"
    num_tasks: int = 800
    task_length: int = 60_000  # examples of a task, at most all digits
    halvings: int = 0  # number of times that 2 x 2 pixels are averaged into one
    num_hidden: int = 2000
    num_hidden_layers: int = 3
    num_diagnostic_examples: int = 2000
    magnitude_interval: int = 16

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        check_range(self, "num_tasks task_length num_hidden num_hidden_layers num_diagnostic_examples", 1)
        check_range(self, "magnitude_interval", 1)
        check_range(self, "halvings", 0)


_LAPTOP = Settings(
    digits="handwritten",
    num_tasks=40,
    task_length=1797,
    num_hidden=32,
    num_hidden_layers=2,
    num_diagnostic_examples=1797,
    magnitude_interval=10,
)

SCALES = {
    "smoke": Scale(
        replace(_LAPTOP, num_tasks=2, task_length=600),
        {**PUBLISHED_LEARNERS, **SMALL_LEARNERS, **STEP_SIZE_LEARNERS},
        default_learners=MAIN_LEARNERS,
        runs=2,
        block=20,
        seconds=0.4,
    ),
    "laptop": Scale(
        _LAPTOP,
        {**PUBLISHED_LEARNERS, **SMALL_LEARNERS, **STEP_SIZE_LEARNERS},
        default_learners=("dynamic", *MAIN_LEARNERS),  # the slowest first, so that no process is idle at the end
        runs=20,
        block=20,
        seconds=20,
    ),
    # One run at a time: memory bandwidth limits a step of so wide a network, so runs side by side would not help.
    "paper": Scale(
        Settings(),
        {**PUBLISHED_LEARNERS, **STEP_SIZE_LEARNERS},
        default_learners=MAIN_LEARNERS,
        runs=30,
        block=1,
        seconds=700_000,
    ),
}
