"""The base class of rules. A rule changes the network of a learner in addition to the optimizer's step."""

import copy
from collections.abc import Callable
from typing import Any, ClassVar, Self

from minilop.backend import Array
from minilop.networks import Network
from minilop.optimizers.optimizer import Optimizer

Replaced = list[Any]  # one entry for each hidden layer: the replaced units, (R, H) of bool, or None for none


class Rule:
    """A dataclass of hyperparameters with defaults. `bind` gives a learner a copy of it with its own state.

    Read or change gradients in `before_update`, and change the network in `after_update`. If a unit were replaced
    before the optimizer's step, the step would change the new unit by the old unit's gradient. A rule that replaces
    units returns which units. The learner calls `units_replaced` of all rules if any rule has replaced units, and
    `layers_reset` if layers have new initial values. Rules act in the order in which the learner lists them.
    """

    name: ClassVar[str]
    needs_hidden_units: ClassVar[bool] = False  # and the runs axis
    needs_gradients: ClassVar[bool] = False  # incompatible with an optimizer whose forms_gradients is False
    changes_gradients: ClassVar[bool] = False  # incompatible with an optimizer whose reads_errors is True
    network: Network
    optimizer: Optimizer
    fresh_rows: Callable[..., Array] | None = None  # incoming weights of replaced units; see `replace_units`

    def bind(self, network: Network, optimizer: Optimizer) -> Self:
        """A copy for this network, whose parameters `optimizer` updates. Raises ValueError if they are incompatible."""
        self.check_optimizer(optimizer)
        if self.needs_hidden_units and network.seeds.ndim != 1:
            raise ValueError(f"{self.name} needs the runs axis; make the network with seeds=[seed].")
        if self.needs_hidden_units and not network.hidden:
            raise ValueError(f"{self.name} acts on hidden units, and this network has none; remove the rule.")
        bound = copy.copy(self)
        bound.network, bound.optimizer = network, optimizer
        bound.start()
        return bound

    def check_optimizer(self, optimizer: Optimizer) -> None:
        """Raises ValueError if the rule cannot work with this optimizer."""
        lacks_gradients = self.needs_gradients and not optimizer.forms_gradients
        if optimizer.buffers_updates or lacks_gradients or (self.changes_gradients and optimizer.reads_errors):
            raise ValueError(f"{self.name} does not work with the optimizer {optimizer.name}; choose sgd")

    def start(self) -> None:
        """Create the state as it is before the first step."""

    def before_update(self, values: list[Array], gradients: Array, step: int) -> Replaced | None:
        """Act before the optimizer's step.

        values      the inputs and the outputs of every layer, as `Network.forward` returns them
        gradients   (R, P)   gradients of the loss of this mini-batch, as changed by earlier rules; the optimizer adds
                             its weight decay later. None if the optimizer does not form gradients.
                             `network.views(gradients)[layer.index]["weight"]` is the gradient of one weight matrix
        step        the number of steps before this one
        """
        return None

    def after_update(self, values: list[Array], gradients: Array, step: int) -> Replaced | None:
        """Act after the optimizer's step, which does not change `gradients`. Arguments as in `before_update`."""
        return None

    def units_replaced(self, replaced: Replaced) -> None:
        """Called after a rule has replaced these units."""

    def layers_reset(self, layers: list[Any]) -> None:
        """Called after these layers have been given new initial values."""

    def arrays(self) -> dict[str, Array]:
        """All arrays that persist from step to step, by name; the first axis of each is R."""
        return {}
