"""The settings of the ant problems: of PPO, of the task, of the physics, and of the changes of friction."""

from dataclasses import dataclass
from typing import Literal, get_args

from minilop.checks import check_range
from minilop.reinforcement import PPOSettings
from problems.ant.task_settings import STEP_SECONDS, AntSettings, MuJoCoSettings

Simulator = Literal["minilop", "mujoco"]
ChangeAt = Literal["reset", "at_once"]


@dataclass(frozen=True)
class Settings(PPOSettings, AntSettings, MuJoCoSettings):
    """The settings of the problem; values of the published slippery Ant unless noted.

    simulator   minilop: the model of `physics.py`; mujoco: Gymnasium's Ant-v5, which requires the extra `mujoco`
    change_at   when an environment takes a new friction: at its next reset, or at once

    `friction` is for constant floors; `lowest_friction`, `highest_friction` and `change_at` are for changing ones.
    `substeps` and `substep_seconds` are for minilop's own simulator, `contact_forces` and `num_processes` for MuJoCo's.
    """

    simulator: Simulator = "minilop"
    steps_in_all: int = 20_000_000  # of a run
    change_period: int = 2_000_000  # steps between changes of friction; 0: constant at `friction`
    friction: float = 1.0
    lowest_friction: float = 0.02
    highest_friction: float = 2.0
    change_at: ChangeAt = "reset"
    bin_size: int = 100_000  # steps averaged into one point of the figures
    num_diagnostic_observations: int = 1000
    num_pose_steps: int = 60  # of the walk that is recorded for the figure

    def __post_init__(self) -> None:
        """Raises ValueError for values that are out of range or inconsistent."""
        PPOSettings.__post_init__(self)
        AntSettings.__post_init__(self)
        if self.simulator == "minilop" and (self.contact_forces or self.num_processes):
            raise ValueError(
                "contact_forces and num_processes are for simulator=mujoco; leave them out, or choose that"
            )
        check_range(self, "steps_in_all bin_size num_diagnostic_observations num_pose_steps", 1)
        check_range(self, "change_period friction lowest_friction highest_friction", 0)
        if self.change_period and self.friction != 1.0:
            raise ValueError(f"friction={self.friction} is for a floor that stays; set change_period=0 too")
        if not 0 < self.lowest_friction <= self.highest_friction:
            raise ValueError(
                f"lowest_friction, {self.lowest_friction}, must be above 0 and at most highest_friction, "
                f"{self.highest_friction}"
            )
        for name, known in (("simulator", get_args(Simulator)), ("change_at", get_args(ChangeAt))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be {' or '.join(known)}, not {getattr(self, name)}")
        for name, unit, of in (
            ("steps_in_all", self.bin_size, "bin_size"),
            ("bin_size", self.num_environments, "num_environments"),
            ("change_period", self.num_environments, "num_environments"),
        ):
            if getattr(self, name) % unit:
                raise ValueError(f"{name}, {getattr(self, name)}, must be a multiple of {of}, {unit}")

    @property
    def step_seconds(self) -> float:
        return STEP_SECONDS if self.simulator == "mujoco" else super().step_seconds

    @property
    def num_segments(self) -> int:
        """The number of segments of constant friction."""
        return -(-self.steps_in_all // self.change_period) if self.change_period else 1
