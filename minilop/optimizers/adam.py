"""Adam (Kingma and Ba, ICLR 2015) with a step count of its own for every weight.

    g <- dLoss/dp + lambda p
    M <- b1 M + (1 - b1) g                        c1 <- b1 c1 + (1 - b1)
    V <- b2 V + (1 - b2) g^2                      c2 <- b2 c2 + (1 - b2)
    p <- p - alpha (M / c1) / (sqrt(V / c2) + eps)

The bias corrections c1 = 1 - b1^t and c2 = 1 - b2^t are themselves running averages, of ones. Keeping them for each
weight, rather than one t, lets the state of a replaced unit begin again: all four entries are set to 0.

Paper - published code - ours. The paper's "standard" Adam has betas 0.9 and 0.999, its "proper" one 0.99 twice. The
published Adam with per-weight counts multiplies by 1 - b2^t where sqrt(1 - b2^t) / (1 - b1^t) was meant and adds eps to
the uncorrected root (mended upstream in 2025; no published configuration uses it). Ours is the original algorithm.
"""

from minilop.backend import Array, blocks, xp
from minilop.optimizers.optimizer import Optimizer


class Adam(Optimizer):
    """State: `first_moment`, `second_moment` and their `first_correction`, `second_correction`, all (R, P)."""

    def __init__(
        self,
        parameters: Array,
        step_size: Array,
        beta_1: Array = 0.9,
        beta_2: Array = 0.999,
        epsilon: float = 1e-8,
        weight_decay: Array = 0.0,
    ):
        super().__init__(step_size, weight_decay)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        names = ("first_moment", "second_moment", "first_correction", "second_correction")
        self.state = {name: xp.zeros_like(parameters) for name in names}

    def step(self, parameters: Array, gradients: Array) -> None:
        for columns in blocks(parameters.shape[-1], parameters.size):
            self.step_block(
                parameters[..., columns],
                gradients[..., columns],
                *(array[..., columns] for array in self.state.values()),
            )

    def step_block(
        self,
        parameters: Array,
        gradients: Array,
        first_moment: Array,
        second_moment: Array,
        first_correction: Array,
        second_correction: Array,
    ) -> None:
        """The update above, of a part of the parameters and its state."""
        gradients = self.regularized(parameters, gradients)
        first_moment += (1 - self.beta_1) * (gradients - first_moment)
        second_moment += (1 - self.beta_2) * (gradients * gradients - second_moment)
        first_correction += (1 - self.beta_1) * (1 - first_correction)
        second_correction += (1 - self.beta_2) * (1 - second_correction)
        root = xp.sqrt(second_moment / second_correction)
        parameters -= self.step_size * (first_moment / first_correction) / (root + self.epsilon)
