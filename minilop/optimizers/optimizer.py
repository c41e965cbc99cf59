"""What the optimizers share."""

from abc import ABC, abstractmethod

from minilop.backend import Array, xp
from minilop.networks import Network

STEPS_BETWEEN_CLEANINGS = 100  # an Adam moment takes 175 steps from negligible to subnormal


class Optimizer(ABC):
    """Changes parameters by their gradients.

    state           arrays like the parameters (R, P), by name; a weight whose entries are all 0 starts afresh. Arrays of
                    another length are what several weights share
    step_size, ...  every hyperparameter is a number, or an array (R, 1) with a value for each run
    """

    state: dict[str, Array]

    def __init__(self, step_size: Array, weight_decay: Array):
        self.step_size = step_size
        self.weight_decay = weight_decay

    def regularized(self, parameters: Array, gradients: Array) -> Array:
        """The gradient of the loss plus (weight_decay / 2) times the squared length of the parameters."""
        return gradients + self.weight_decay * parameters if is_used(self.weight_decay) else gradients

    def drop_negligible(self) -> None:
        """Set entries of the state to 0 that are about to become too small for full precision.

        The moments of a weight whose gradient has ended, as those of a dead unit, decay to subnormal numbers (below
        1e-38 in float32) and stay there. They no longer change any weight, but a processor takes many times longer to
        calculate with them.
        """
        for array in self.state.values():
            negligible = 1e8 * float(xp.finfo(array.dtype).tiny)
            xp.copyto(array, 0, where=abs(array) < negligible)

    def learn(self, network: Network, values: list[Array], output_gradients: list[Array]) -> None:
        """One update of the network, from all that its forward and backward passes gave."""
        self.step(network.parameters, network.fill_gradients(values, output_gradients))

    @abstractmethod
    def step(self, parameters: Array, gradients: Array) -> None:
        """One update of `parameters` (R, P), in place."""


def is_used(hyperparameter: Array) -> bool:
    """False for the number 0, which saves a pass over the parameters; an array is not looked into."""
    return not isinstance(hyperparameter, (int, float)) or hyperparameter != 0
