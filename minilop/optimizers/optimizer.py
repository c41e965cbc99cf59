"""The base class of the optimizers."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import fields
from typing import ClassVar, Self

from minilop.backend import Array, like, xp
from minilop.networks import Network

FLUSH_INTERVAL = 100  # steps; an Adam moment takes 175 steps to decay from negligible to subnormal


class Optimizer(ABC):
    """A dataclass of hyperparameters that updates parameters by their gradients.

    `bind` gives a learner a copy with its own state. Every hyperparameter is a number, or an array (R, 1) with a value
    for each run. The optimizer of the learner owns `step_size`, so a step-size schedule changes it there.

    state   arrays by name. An array of the shape of the parameters (R, P) has an entry for each weight, and setting all
            entries of a weight to 0 resets it to the first step. In all other arrays, several weights share an entry
    """

    name: ClassVar[str]
    learns_from_one_example: ClassVar[bool] = False  # per step, not from mini-batches
    forms_gradients: ClassVar[bool] = True  # rules can read and change the gradients before the step
    reads_errors: ClassVar[bool] = False  # uses errors and inputs separately, so rules may not change the gradients
    buffers_updates: ClassVar[bool] = False  # the weights are not up to date after a step
    step_size: Array
    weight_decay: Array = 0.0
    state: dict[str, Array]

    def bind(self, parameters: Array, layer_sizes: Sequence[int] = ()) -> Self:
        """A copy for parameters (R, P) of layers with `layer_sizes` parameters each.

        Raises ValueError if the optimizer uses `layer_sizes` and their sum is not P.
        """
        bound = copy.copy(self)
        for name in [field.name for field in fields(self)]:  # type: ignore[arg-type]
            value = getattr(self, name)
            setattr(bound, name, value if isinstance(value, (str, bool)) else like(parameters, value))
        bound.start(parameters, layer_sizes)
        return bound

    @abstractmethod
    def start(self, parameters: Array, layer_sizes: Sequence[int]) -> None:
        """Create the state as it is before the first step."""

    def use_per_weight_bias_correction(self) -> None:
        """Count steps for each weight separately, because a rule may reset the state of some weights."""

    def update(self, network: Network, values: list[Array], output_gradients: list[Array]) -> None:
        """Update the network by `network.gradients`; some optimizers also read the values and the output gradients."""
        self.step(network.parameters, network.gradients)

    def step(self, parameters: Array, gradients: Array) -> None:
        """Update `parameters` (R, P) in place. Raises TypeError if this optimizer needs more than the gradients."""
        raise TypeError(f"{self.name} needs the values of the network; call update instead of step.")

    def regularized(self, parameters: Array, gradients: Array) -> Array:
        """The gradient of the loss plus (weight_decay / 2) times the squared norm of the parameters."""
        return gradients + self.weight_decay * parameters if is_used(self.weight_decay) else gradients

    def flush_subnormals(self) -> None:
        """Set entries of the state to 0 before they decay to subnormal numbers.

        The moments of a weight whose gradient is 0 from some step on, such as those of a dead unit, decay to subnormal
        numbers (below 1e-38 in float32). They no longer change any weight, but arithmetic with subnormal numbers is
        many times slower.
        """
        for array in self.state.values():
            negligible = 1e8 * float(xp.finfo(array.dtype).tiny)
            xp.copyto(array, 0, where=abs(array) < negligible)


def is_used(hyperparameter: Array) -> bool:
    """False for the number 0, for which a pass over the parameters can be skipped. True for all arrays."""
    return not isinstance(hyperparameter, (int, float)) or hyperparameter != 0
