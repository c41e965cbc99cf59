"""Stochastic gradient descent with momentum and L2 regularization.

    g <- dLoss/dp + lambda p
    v <- mu v + g                 from v = 0, so the first step takes v = g; no dampening, no Nesterov
    p <- p - alpha v

alpha is `step_size`, mu `momentum`, lambda `weight_decay`. The decay is added to the gradient (not decoupled) and acts
on weights and biases alike, as in the published code; the paper speaks of "the weights" only. L2 regularization as a
method is this and nothing else: Dohare et al. (2024), Methods.
"""

from minilop.backend import Array, xp
from minilop.optimizers.optimizer import Optimizer, is_used


class SGD(Optimizer):
    """State: `velocity` (R, P), kept only where there is momentum."""

    def __init__(self, parameters: Array, step_size: Array, momentum: Array = 0.0, weight_decay: Array = 0.0):
        super().__init__(step_size, weight_decay)
        self.momentum = momentum
        self.state = {"velocity": xp.zeros_like(parameters)} if is_used(momentum) else {}

    def step(self, parameters: Array, gradients: Array) -> None:
        gradients = self.regularized(parameters, gradients)
        if self.state:
            velocity = self.state["velocity"]
            velocity *= self.momentum
            velocity += gradients
            gradients = velocity
        parameters -= self.step_size * gradients
