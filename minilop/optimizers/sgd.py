"""Stochastic gradient descent with momentum and L2 regularization.

    g <- dLoss/dp + lambda p
    v <- mu v + g                 from v = 0, so v = g in the first step; no dampening, no Nesterov momentum
    p <- p - alpha v

alpha is `step_size`, mu `momentum`, lambda `weight_decay`. The decay is added to the gradient (not decoupled) and acts
on both weights and biases, as in the published code; the paper mentions only "the weights". With `weight_decay`, this
is the method called L2 regularization by Dohare et al. (2024), Methods.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from minilop.backend import Array, xp
from minilop.checks import check_range
from minilop.optimizers.optimizer import Optimizer, is_used


@dataclass
class SGD(Optimizer):
    """State: `velocity` (R, P) if momentum is used."""

    step_size: Array = 0.01  # the largest one that the paper shows for the online problems
    momentum: Array = 0.0
    weight_decay: Array = 0.0

    name: ClassVar[str] = "sgd"

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        check_range(self, "step_size weight_decay", 0)
        check_range(self, "momentum", 0, 1, below_high=True)

    def start(self, parameters: Array, layer_sizes: Sequence[int]) -> None:
        self.state = {"velocity": xp.zeros_like(parameters)} if is_used(self.momentum) else {}

    def step(self, parameters: Array, gradients: Array) -> None:
        gradients = self.regularized(parameters, gradients)
        if is_used(self.momentum):
            velocity = self.state["velocity"]
            velocity *= self.momentum
            velocity += gradients
            gradients = velocity
        parameters -= self.step_size * gradients
