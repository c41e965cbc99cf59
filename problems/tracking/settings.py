"""The settings of tracking, and their values at each scale."""

import math
from dataclasses import dataclass

from minilop.checks import check_range
from minilop.experiment.problem import Scale
from problems.shared.sweeps import check_sweep
from problems.tracking.learners import LEARNERS


@dataclass(frozen=True)
class Settings:
    """The settings of the problem; values of the paper unless noted."""

    num_inputs: int = 20
    num_relevant: int = 5
    task_length: int = 20  # examples between two changes of a sign
    target_noise: float = 0.0  # standard deviation; not in the paper
    num_compared: int = 30_000  # length of `compared`
    compared_bin: int = 10_000  # the last bin is measured
    num_observed: int = 250_000
    observed_bin: int = 1_000  # ours
    num_rates: int = 40_000  # ours; the second half is measured
    sigmas: tuple[float, ...] = (0.1, 0.5, 1.0, 2.0)

    def __post_init__(self) -> None:
        """Raises ValueError for values that are out of range or inconsistent."""
        check_range(self, "num_inputs num_relevant task_length num_compared compared_bin num_observed observed_bin", 1)
        check_range(self, "num_rates", 2)
        check_range(self, "target_noise", 0)
        if self.num_relevant >= self.num_inputs:
            raise ValueError(f"num_relevant must be below num_inputs, {self.num_inputs}, not {self.num_relevant}")
        check_sweep(self, "num_compared", "compared_bin")
        check_sweep(self, "num_observed", "observed_bin")
        if self.num_rates % 2 or not self.sigmas or not all(0 < sigma < math.inf for sigma in self.sigmas):
            raise ValueError("num_rates must be even, and sigmas must hold at least one number, all finite and above 0")


SMOKE = Settings(
    num_compared=1_500, compared_bin=500, num_observed=2_000, observed_bin=100, num_rates=1_000, sigmas=(0.5, 2.0)
)
SCALES = {
    "smoke": Scale(SMOKE, LEARNERS, tuple(LEARNERS), runs=2, block=50, seconds=0.5),
    "laptop": Scale(Settings(), LEARNERS, tuple(LEARNERS), runs=30, block=50, seconds=14),
    "paper": Scale(Settings(), LEARNERS, tuple(LEARNERS), runs=100, block=50, seconds=14),
}
