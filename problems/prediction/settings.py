"""The settings of prediction, and their values at each scale."""

from dataclasses import dataclass

from minilop.checks import check_range
from minilop.experiment.problem import Scale
from problems.prediction.learners import LEARNERS
from problems.shared.sweeps import check_sweep


@dataclass(frozen=True)
class Settings:
    """The settings of the problem; all values are ours."""

    num_steps: int = 20_000
    bin_size: int = 1_000
    discount: float = 0.9
    delay: int = 10  # steps from a cue to its outcome
    shortest_gap: int = 15  # steps from an outcome to the next cue
    longest_gap: int = 39
    num_taps: int = 12
    num_distractors: int = 20
    distractor_probability: float = 0.1

    def __post_init__(self) -> None:
        """Raises ValueError for values that are out of range or inconsistent."""
        check_range(self, "num_steps bin_size delay shortest_gap num_taps num_distractors", 1)
        check_range(self, "discount", 0, 1, below_high=True)
        check_range(self, "distractor_probability", 0, 1)
        check_sweep(self, "num_steps", "bin_size")
        if self.longest_gap < self.shortest_gap:
            raise ValueError(f"longest_gap must be at least shortest_gap, {self.shortest_gap}, not {self.longest_gap}")


SCALES = {
    "smoke": Scale(Settings(num_steps=1_000, bin_size=250), LEARNERS, tuple(LEARNERS), runs=2, block=50, seconds=0.3),
    "laptop": Scale(Settings(), LEARNERS, tuple(LEARNERS), runs=30, block=50, seconds=5),
    "paper": Scale(Settings(), LEARNERS, tuple(LEARNERS), runs=100, block=50, seconds=5),
}
