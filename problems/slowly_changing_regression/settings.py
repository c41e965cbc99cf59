"""The settings of Slowly-Changing Regression, and their values at each scale."""

from dataclasses import dataclass
from typing import Literal

from minilop.checks import check_range
from minilop.experiment.problem import Scale
from problems.shared.online import check_stream
from problems.slowly_changing_regression.learners import (
    ACTIVATION_LEARNERS,
    LEARNERS,
    MAIN_LEARNERS,
)


@dataclass(frozen=True)
class Settings:
    """The settings of the problem; values of the paper unless noted."""

    num_examples: int = 3_000_000
    bin_size: int = 40_000
    task_length: int = 10_000  # examples between two changes
    num_bits: int = 20
    num_slow_bits: int = 15
    num_target_units: int = 100
    beta: float = 0.7
    change: Literal["flip_one", "redraw_all"] = "flip_one"
    target_threshold: Literal["paper", "published_code"] = "published_code"
    num_hidden: int = 5
    magnitude_interval: int = 1

    def __post_init__(self) -> None:
        """Raises ValueError for values that are out of range or inconsistent."""
        check_stream(self)
        check_range(self, "num_target_units num_hidden", 1)
        if not 0 < self.num_slow_bits < self.num_bits <= self.num_slow_bits + 16:
            raise ValueError("num_slow_bits must be at least 1, and 1 to 16 less than num_bits")


SCALES = {
    "smoke": Scale(
        Settings(num_examples=4_000, bin_size=2_000, task_length=1_000, magnitude_interval=10),
        LEARNERS,
        default_learners=(*MAIN_LEARNERS, "tanh", "dynamic"),
        runs=2,
        block=100,
        seconds=0.3,
    ),
    "laptop": Scale(
        Settings(num_examples=600_000, bin_size=20_000, magnitude_interval=100),
        LEARNERS,
        # The slowest first, so that no process idles at the end. All learned step sizes would add two core-minutes.
        default_learners=("dynamic", *MAIN_LEARNERS, *ACTIVATION_LEARNERS),
        runs=30,
        block=100,
        seconds=24,
    ),
    "paper": Scale(
        Settings(),
        LEARNERS,
        default_learners=(*MAIN_LEARNERS, *ACTIVATION_LEARNERS),
        runs=100,
        block=100,
        seconds=220,
    ),
}
