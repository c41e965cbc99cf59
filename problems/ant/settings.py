"""The settings of the ant's problems: PPO's, the task's, the physics', and when friction changes."""

from dataclasses import dataclass
from typing import Literal, get_args

from minilop.checks import check_range
from minilop.reinforcement import PPOSettings
from problems.ant.task_settings import STEP_SECONDS, AntSettings, MuJoCoSettings

Simulator = Literal["minilop", "mujoco"]
ChangeAt = Literal["reset", "at_once"]


@dataclass(frozen=True)
class Settings(PPOSettings, AntSettings, MuJoCoSettings):
    """The problem; values of the published slippery Ant where nothing else is said.

    simulator   minilop: the model of `physics.py`; mujoco: Gymnasium's Ant-v5, which needs the extra `mujoco`
    change_at   when an environment takes a new friction: at its next reset, or at once

    `friction` is for floors that stay, `lowest_friction`, `highest_friction` and `change_at` for those that change;
    `substeps` and `substep_seconds` for minilop's own simulator, `contact_forces` and `num_processes` for MuJoCo's.
    """

    simulator: Simulator = "minilop"
    steps_in_all: int = 20_000_000  # of a run
    change_period: int = 2_000_000  # steps between changes of friction; 0: it stays what `friction` says
    friction: float = 1.0
    lowest_friction: float = 0.02
    highest_friction: float = 2.0
    change_at: ChangeAt = "reset"
    bin_size: int = 100_000  # steps averaged to a point of the figures
    num_diagnostic_observations: int = 1000
    num_pose_steps: int = 60  # of the walk that is kept for the picture

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range or that contradict each other."""
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
        """Stretches of one friction."""
        return -(-self.steps_in_all // self.change_period) if self.change_period else 1
