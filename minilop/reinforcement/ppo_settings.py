"""The hyperparameters of PPO (ppo.py)."""

from dataclasses import dataclass

from minilop.checks import check_choice, check_range
from minilop.reinforcement.advantages import TimeOuts


@dataclass(frozen=True)
class PPOSettings:
    """Hyperparameters. The defaults are those of the published code for the Ant (rl/cfg/ant)."""

    num_environments: int = 1  # N, per run
    num_steps: int = 2048  # T, per environment between two updates
    num_epochs: int = 10
    mini_batch_size: int = 128  # a divisor of N T
    discount: float = 0.99  # gamma
    lambda_: float = 0.95  # of generalized advantage estimation
    clip: float = 0.2  # epsilon
    value_weight: float = 1.0
    initial_log_std: float = 0.0  # a standard deviation of 1
    hidden_units: tuple[int, ...] = (256, 256)  # of both the policy network and the value network
    time_outs: TimeOuts = "terminal"  # or "bootstrapped"; see advantages.py

    def __post_init__(self) -> None:
        """Raises ValueError for values that are out of range or contradict each other."""
        check_range(self, "num_environments num_steps num_epochs mini_batch_size", 1)
        check_range(self, "discount lambda_", 0, 1)
        check_range(self, "clip value_weight", 0)
        check_range(self, "initial_log_std", -20, 20)
        if not all(number >= 1 for number in self.hidden_units):
            raise ValueError(f"hidden_units must all be at least 1, not {self.hidden_units}")
        check_choice("time_outs", self.time_outs, TimeOuts)
        if self.num_samples % self.mini_batch_size:
            raise ValueError(
                f"mini_batch_size must be a divisor of num_environments * num_steps = {self.num_samples}, "
                f"not {self.mini_batch_size}"
            )

    @property
    def num_samples(self) -> int:
        """M = N T, the number of samples per run and update."""
        return self.num_environments * self.num_steps
