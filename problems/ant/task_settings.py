"""The settings of the ant's task, and of the two programs that can compute its physics."""

from dataclasses import dataclass
from typing import Literal

from minilop.checks import check_range


@dataclass(frozen=True)
class TaskSettings:
    """The task, whatever computes its physics; values of Gymnasium's Ant-v5, as in the paper, unless noted.

    control_cost_of   action: as the policy chose it; clipped_action: as the motors take it
    """

    num_environments: int = 256  # of a run; ours, the paper has one
    control_cost: float = 0.5
    control_cost_of: Literal["action", "clipped_action"] = "action"
    healthy_reward: float = 1.0
    time_limit: int = 1000  # steps of an episode

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        check_range(self, "num_environments time_limit", 1)
        check_range(self, "control_cost healthy_reward", 0)
        if self.control_cost_of not in ("action", "clipped_action"):
            raise ValueError(f"control_cost_of must be action or clipped_action, not {self.control_cost_of!r}")


@dataclass(frozen=True)
class AntSettings(TaskSettings):
    """The task on our physics: 4 x 0.0125 s are one step of 0.05 s, as Ant-v5's; 2 x 0.025 s are faster and coarser."""

    substeps: int = 4  # ours, as the next: those of Ant-v5 are 5 of 0.01 s by another method
    substep_seconds: float = 0.0125

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        super().__post_init__()
        check_range(self, "substeps", 1)
        check_range(self, "substep_seconds", 1e-4, 0.05)

    @property
    def step_seconds(self) -> float:
        return self.substeps * self.substep_seconds


STEP_SECONDS = 0.05  # of MuJoCo's Ant-v5


@dataclass(frozen=True)
class MuJoCoSettings(TaskSettings):
    """The task on MuJoCo's physics.

    num_processes   that share the environments of all runs; 0 computes them in this one. A worker of the command's
                    process engine may start none: there are as many workers as cores already. A script that asks for
                    some must guard what it does by `if __name__ == "__main__":`, since they import it
    """

    num_environments: int = 8  # of a run; ours, the paper has one
    contact_forces: bool = False  # observed, clipped to [-1, 1]
    num_processes: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        super().__post_init__()
        check_range(self, "num_processes", 0)
