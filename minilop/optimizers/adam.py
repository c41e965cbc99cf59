"""Adam (Kingma and Ba, ICLR 2015) with a step count of its own for every weight.

    g <- dLoss/dp + lambda p
    M <- b1 M + (1 - b1) g                        c1 <- b1 c1 + (1 - b1)
    V <- b2 V + (1 - b2) g^2                      c2 <- b2 c2 + (1 - b2)
    p <- p - alpha (M / c1) / (sqrt(V / c2) + eps)

The bias corrections c1 = 1 - b1^t and c2 = 1 - b2^t are themselves running averages, of ones. Keeping them for each
weight, rather than one t, lets the state of a replaced unit begin again: all four entries are set to 0. Where no unit's
state does, one correction a run is enough, and less to compute. To divide less, the last line is computed as

    p <- p - (alpha sqrt(c2) / c1) M / (sqrt(V) + eps sqrt(c2))

Paper - published code - ours. The paper's "standard" Adam has betas 0.9 and 0.999, its "proper" one 0.99 twice. The
published Adam with per-weight counts multiplies by 1 - b2^t where sqrt(1 - b2^t) / (1 - b1^t) was meant and adds eps to
the uncorrected root (mended upstream in 2025; no published configuration uses it). Ours is the original algorithm.
"""

from minilop.backend import Array, blocks, xp
from minilop.optimizers.optimizer import Optimizer


class Adam(Optimizer):
    """State: `first_moment` and `second_moment` (R, P), `first_correction` and `second_correction`.

    correct_each   keep corrections (R, P), so that the state of single weights may be set to 0; else (R, 1)
    """

    def __init__(
        self,
        parameters: Array,
        step_size: Array,
        beta_1: Array = 0.9,
        beta_2: Array = 0.999,
        epsilon: float = 1e-8,
        weight_decay: Array = 0.0,
        correct_each: bool = True,
    ):
        super().__init__(step_size, weight_decay)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.correct_each = correct_each
        self.state = {name: xp.zeros_like(parameters) for name in ("first_moment", "second_moment")}
        corrected = parameters if correct_each else parameters[..., :1]
        self.state.update({name: xp.zeros_like(corrected) for name in ("first_correction", "second_correction")})

    def step(self, parameters: Array, gradients: Array) -> None:
        first_moment, second_moment, *corrections = self.state.values()
        if not self.correct_each:
            self.update_corrections(*corrections)
        for columns in blocks(parameters.shape[-1], 2 * parameters.size):  # several arrays share the cache
            parts = corrections
            if self.correct_each:
                parts = [correction[..., columns] for correction in corrections]
                self.update_corrections(*parts)
            self.step_block(
                parameters[..., columns],
                gradients[..., columns],
                first_moment[..., columns],
                second_moment[..., columns],
                *parts,
            )

    def update_corrections(self, first_correction: Array, second_correction: Array) -> None:
        first_correction += (1 - self.beta_1) * (1 - first_correction)
        second_correction += (1 - self.beta_2) * (1 - second_correction)

    def step_block(
        self,
        parameters: Array,
        gradients: Array,
        first_moment: Array,
        second_moment: Array,
        first_correction: Array,
        second_correction: Array,
    ) -> None:
        """The update above, of a part of the parameters and its state, with few passes and temporary arrays."""
        gradients = self.regularized(parameters, gradients)
        change = (1 - self.beta_1) * gradients
        first_moment *= self.beta_1
        first_moment += change
        xp.multiply(gradients, gradients, out=change)
        change *= 1 - self.beta_2
        second_moment *= self.beta_2
        second_moment += change
        root_correction = xp.sqrt(second_correction)
        root = xp.sqrt(second_moment, out=change)
        root += self.epsilon * root_correction
        xp.divide(first_moment, root, out=change)
        change *= self.step_size * root_correction / first_correction
        parameters -= change
