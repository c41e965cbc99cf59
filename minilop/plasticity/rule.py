"""What a rule is: anything that a learner does to its network beside the optimizer's step."""

import copy
from collections.abc import Callable
from typing import Any, ClassVar, Self

from minilop.backend import Array
from minilop.networks import Network
from minilop.optimizers.optimizer import Optimizer

Replaced = list[Any]  # one entry for each hidden layer: the replaced units, (R, H) of bool, or None for none


class Rule:
    """A dataclass of hyperparameters with defaults. `bind` gives a learner a copy of it with state of its own.

    `before_update` is the place to read or change gradients, `after_update` the place to change the network: if a unit
    were replaced before the optimizer's step, the step would move the new unit by the old unit's gradient. A rule that
    replaces units returns which ones. It is told of units that any rule has replaced, and of layers that have been
    given new initial values. Rules act in the order in which the learner lists them.
    """

    name: ClassVar[str]
    needs_hidden_units: ClassVar[bool] = False  # and the runs axis
    needs_gradients: ClassVar[bool] = False  # is refused beside an optimizer that does not form them
    changes_gradients: ClassVar[bool] = False  # is refused beside an optimizer that takes them apart
    network: Network
    optimizer: Optimizer
    fresh_rows: Callable[..., Array] | None = None  # of replaced units, from outside; see `replace_units`

    def bind(self, network: Network, optimizer: Optimizer) -> Self:
        """A copy for this network, whose parameters `optimizer` updates. Raises ValueError if it does not fit them."""
        self.check_optimizer(optimizer)
        if self.needs_hidden_units and network.seeds.ndim != 1:
            raise ValueError(f"{self.name} needs the runs axis; make the network with seeds=[seed].")
        if self.needs_hidden_units and not network.hidden:
            raise ValueError(f"{self.name} acts on hidden units, and this network has none; leave it out.")
        bound = copy.copy(self)
        bound.network, bound.optimizer = network, optimizer
        bound.start()
        return bound

    def check_optimizer(self, optimizer: Optimizer) -> None:
        """Raises ValueError for an optimizer beside which the rule cannot work."""
        lacks_gradients = self.needs_gradients and not optimizer.forms_gradients
        if optimizer.buffers_updates or lacks_gradients or (self.changes_gradients and optimizer.reads_errors):
            raise ValueError(f"{self.name} does not work with the optimizer {optimizer.name}; choose sgd")

    def start(self) -> None:
        """Make the state, as before the first step."""

    def before_update(self, values: list[Array], gradients: Array, step: int) -> Replaced | None:
        """Act before the optimizer's step.

        values      the inputs and the outputs of every layer, as `Network.forward` returns them
        gradients   (R, P)   of the loss of this mini-batch, as changed by the rules before this one; the optimizer
                             adds its weight decay later. None if the optimizer does not form them.
                             `network.views(gradients)[layer.index]["weight"]` is the part of one weight
        step        the number of steps before this one
        """
        return None

    def after_update(self, values: list[Array], gradients: Array, step: int) -> Replaced | None:
        """Act after the optimizer's step, which leaves the gradients as they were. Arguments as in `before_update`."""
        return None

    def units_replaced(self, replaced: Replaced) -> None:
        """Some rule has just replaced these units."""

    def layers_reset(self, layers: list[Any]) -> None:
        """These layers have just been given new initial values."""

    def arrays(self) -> dict[str, Array]:
        """All that the rule carries from step to step, by name, each array with the runs first."""
        return {}
