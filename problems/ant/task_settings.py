"""The settings of the ant's task, and of the two simulators."""

from dataclasses import dataclass
from typing import Literal

from minilop.checks import check_range


@dataclass(frozen=True)
class TaskSettings:
    """The task, for any simulator; values of Gymnasium's Ant-v5, as in the paper, unless noted.

    control_cost_of   action: the action of the policy; clipped_action: the action that the motors apply
    """

    num_environments: int = 256  # of a run; ours, 1 in the paper
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
    """The task with our physics. A step is 4 x 0.0125 = 0.05 s, as in Ant-v5; 2 x 0.025 s is faster and coarser."""

    substeps: int = 4  # ours, like substep_seconds; Ant-v5 has 5 of 0.01 s, by another method
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
    """The task with MuJoCo's physics.

    num_processes   number of processes that share the environments of all runs; 0: this process computes them. Workers
                    of the process engine must not start processes, because there are as many workers as cores. A script
                    that sets this must be guarded by `if __name__ == "__main__":`, because the processes import it
    """

    num_environments: int = 8  # of a run; ours, 1 in the paper
    contact_forces: bool = False  # observed, clipped to [-1, 1]
    num_processes: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        super().__post_init__()
        check_range(self, "num_processes", 0)
