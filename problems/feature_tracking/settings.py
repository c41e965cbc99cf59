"""The settings of feature tracking, and their values at each scale."""

from dataclasses import dataclass

from minilop.checks import check_range
from minilop.experiment.problem import Scale
from problems.feature_tracking.learners import DEFAULT_LEARNERS, LEARNERS, SMOKE_LEARNERS


@dataclass(frozen=True)
class Settings:
    """The settings of the problem. All values are ours; scale `paper` is just the full length."""

    num_inputs: int = 200
    num_relevant: int = 5
    num_features: int = 5  # of the teacher
    num_hidden: int = 10  # of the student
    target_noise: float = 1.0  # standard deviation
    task_length: int = 500  # examples between two inverted signs
    redraw_period: int = 5_000  # examples between two redrawn teacher features
    num_redrawn: int = 100_000  # examples of the stream `redrawn`
    num_fixed: int = 60_000  # 0: no such stream
    bin_size: int = 2_000
    num_diagnostic_examples: int = 200

    def __post_init__(self) -> None:
        """Raises ValueError for values that are out of range or inconsistent."""
        check_range(self, "num_inputs num_relevant num_features num_hidden num_diagnostic_examples", 1)
        check_range(self, "task_length redraw_period num_redrawn bin_size", 1)
        check_range(self, "target_noise num_fixed", 0)
        if self.num_relevant > self.num_inputs:
            raise ValueError(f"num_relevant must be at most num_inputs, {self.num_inputs}, not {self.num_relevant}")
        if self.redraw_period % self.task_length:
            raise ValueError(f"redraw_period must be a multiple of task_length, not {self.redraw_period}")
        if self.num_redrawn % self.bin_size or self.num_fixed % self.bin_size:
            raise ValueError(f"num_redrawn and num_fixed must be multiples of bin_size, {self.bin_size}")


SMOKE = Settings(
    num_inputs=20,
    task_length=100,
    redraw_period=200,
    num_redrawn=800,
    num_fixed=200,
    bin_size=100,
    num_diagnostic_examples=50,
)
SCALES = {
    "smoke": Scale(SMOKE, SMOKE_LEARNERS, DEFAULT_LEARNERS, runs=2, block=10, seconds=0.5),
    "laptop": Scale(
        Settings(num_redrawn=60_000, num_fixed=0), LEARNERS, DEFAULT_LEARNERS, runs=10, block=10, seconds=20
    ),
    "paper": Scale(Settings(), LEARNERS, tuple(LEARNERS), runs=30, block=10, seconds=55),
}
