"""Adam (Kingma and Ba, ICLR 2015), with a bias correction per weight if the state of individual weights is reset.

    g <- dLoss/dp + lambda p
    M <- b1 M + (1 - b1) g                        c1 <- c1 + (1 - b1) (1 - c1)
    V <- b2 V + (1 - b2) g^2                      c2 <- c2 + (1 - b2) (1 - c2)
    p <- p - alpha (M / c1) / (sqrt(V / c2) + eps)

The bias corrections c1 = 1 - b1^t and c2 = 1 - b2^t are running averages of ones. One pair of them per run is enough
unless a rule resets the state of replaced units. In that case every weight has its own pair, and setting all four
entries of a weight to 0 resets it to the first step. The code writes the last line with fewer divisions:

    (M / c1) / (sqrt(V / c2) + eps)  =  (sqrt(c2) / c1) M / (sqrt(V) + eps sqrt(c2))

Paper - published code - ours. In the paper, "standard" Adam has betas of 0.9 and 0.999, and "proper" Adam has 0.99 for
both. The published Adam with per-weight counts multiplies by 1 - b2^t instead of sqrt(1 - b2^t) / (1 - b1^t), and adds
eps to the uncorrected root (corrected upstream in 2025; no published configuration uses it). Ours is the original
algorithm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from minilop.backend import Array, xp
from minilop.checks import check_range
from minilop.optimizers.optimizer import Optimizer


@dataclass
class Adam(Optimizer):
    """State: `first_moment`, `second_moment` (R, P); `first_correction`, `second_correction` (R, 1), or (R, P)."""

    step_size: Array = 1e-3
    beta_1: Array = 0.9
    beta_2: Array = 0.999
    epsilon: Array = 1e-8
    weight_decay: Array = 0.0

    name: ClassVar[str] = "adam"

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        check_range(self, "step_size epsilon weight_decay", 0)
        check_range(self, "beta_1 beta_2", 0, 1, below_high=True)

    def start(self, parameters: Array, layer_sizes: Sequence[int]) -> None:
        self.state = {name: xp.zeros_like(parameters) for name in ("first_moment", "second_moment")}
        for name in ("first_correction", "second_correction"):
            self.state[name] = xp.zeros_like(parameters[..., :1])

    def use_per_weight_bias_correction(self) -> None:
        for name in ("first_correction", "second_correction"):
            self.state[name] = xp.zeros_like(self.state["first_moment"])

    def step(self, parameters: Array, gradients: Array) -> None:
        gradients = self.regularized(parameters, gradients)
        first_moment, second_moment = self.state["first_moment"], self.state["second_moment"]
        first_correction, second_correction = self.state["first_correction"], self.state["second_correction"]
        first_moment *= self.beta_1
        first_moment += (1 - self.beta_1) * gradients
        second_moment *= self.beta_2
        second_moment += (1 - self.beta_2) * (gradients * gradients)
        first_correction += (1 - self.beta_1) * (1 - first_correction)
        second_correction += (1 - self.beta_2) * (1 - second_correction)
        root_correction = xp.sqrt(second_correction)
        change = first_moment / (xp.sqrt(second_moment) + self.epsilon * root_correction)
        parameters -= self.step_size * root_correction / first_correction * change
