"""What the optimizers share."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import fields
from typing import ClassVar, Self

from minilop.backend import Array, like, xp
from minilop.networks import Network

FLUSH_INTERVAL = 100  # steps; an Adam moment takes 175 steps from negligible to subnormal


class Optimizer(ABC):
    """A dataclass of hyperparameters that changes parameters by their gradients.

    `bind` gives a learner a copy with state of its own. Every hyperparameter is a number, or an array (R, 1) with a
    value for each run. `step_size` has one owner, the optimizer: a schedule sets it there.

    state   arrays by name. An array like the parameters (R, P) has an entry for each weight, and a weight whose entries
            are all 0 starts afresh; an array of another length is shared by several weights
    """

    name: ClassVar[str]
    learns_from_one_example: ClassVar[bool] = False  # a step, not from mini-batches
    forms_gradients: ClassVar[bool] = True  # so that rules can read and change them before the step
    reads_errors: ClassVar[bool] = False  # so that a rule may not change the gradients, which it takes apart
    buffers_updates: ClassVar[bool] = False  # so that the weights are not up to date after a step
    step_size: Array
    weight_decay: Array = 0.0
    state: dict[str, Array]

    def bind(self, parameters: Array, layer_sizes: Sequence[int] = ()) -> Self:
        """A copy for parameters (R, P), which consist of layers with so many parameters each.

        Raises ValueError if the layers do not make up the parameters.
        """
        bound = copy.copy(self)
        for name in [field.name for field in fields(self)]:  # type: ignore[arg-type]
            value = getattr(self, name)
            setattr(bound, name, value if isinstance(value, (str, bool)) else like(parameters, value))
        bound.start(parameters, layer_sizes)
        return bound

    @abstractmethod
    def start(self, parameters: Array, layer_sizes: Sequence[int]) -> None:
        """Make the state, as before the first step."""

    def keep_state_of_each_weight(self) -> None:
        """Share no state that counts steps among weights: the state of some weights may be set to 0 on its own."""

    def update(self, network: Network, values: list[Array], output_gradients: list[Array]) -> None:
        """Update the network by `network.gradients`; some optimizers read the passes that they come from as well."""
        self.step(network.parameters, network.gradients)

    def step(self, parameters: Array, gradients: Array) -> None:
        """Update `parameters` (R, P) in place. Raises TypeError if gradients do not say enough for this optimizer."""
        raise TypeError(f"{self.name} needs the values of the network; call update.")

    def regularized(self, parameters: Array, gradients: Array) -> Array:
        """The gradient of the loss plus (weight_decay / 2) times the squared length of the parameters."""
        return gradients + self.weight_decay * parameters if is_used(self.weight_decay) else gradients

    def flush_subnormals(self) -> None:
        """Set entries of the state to 0 that are about to become too small for full precision.

        The moments of a weight whose gradient has ended, such as those of a dead unit, decay to subnormal numbers
        (below 1e-38 in float32) and stay there. They no longer change any weight, but processors calculate with them
        many times more slowly.
        """
        for array in self.state.values():
            negligible = 1e8 * float(xp.finfo(array.dtype).tiny)
            xp.copyto(array, 0, where=abs(array) < negligible)


def is_used(hyperparameter: Array) -> bool:
    """False for the number 0, which saves a pass over the parameters; True for arrays."""
    return not isinstance(hyperparameter, (int, float)) or hyperparameter != 0
