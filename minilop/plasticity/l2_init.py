"""L2 Init: regularization toward the initial parameters (Kumar, Marklund and Van Roy, 2023, arXiv:2308.11958).

    g <- dLoss/dp + lambda (p - p_0)         before the optimizer's step

lambda is `init_decay`, p_0 the initial parameters. The paper adds lambda |p - p_0|^2 to the loss. Its gradient is twice
as large, so the lambda of the paper is half of ours. If a unit is replaced or a layer is reset, p_0 becomes the new
value.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from minilop.backend import Array, like, xp
from minilop.checks import check_range
from minilop.plasticity.rule import Replaced, Rule
from minilop.plasticity.units import unit_views


@dataclass
class L2Init(Rule):
    """State: `initial_parameters` (R, P), p_0."""

    init_decay: Array = 1e-3  # lambda, a number, or (R, 1) with a value for each run

    name: ClassVar[str] = "l2_init"
    needs_gradients: ClassVar[bool] = True
    changes_gradients: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Raises ValueError for a negative value."""
        check_range(self, "init_decay", 0)

    def start(self) -> None:
        self.init_decay = like(self.network.parameters, self.init_decay)
        self.initial_parameters = self.network.parameters.copy()

    def before_update(self, values: list[Array], gradients: Array, step: int) -> None:
        """Add the gradient of the penalty to the gradients, in place."""
        gradients += self.init_decay * (self.network.parameters - self.initial_parameters)

    def units_replaced(self, replaced: Replaced) -> None:
        network = self.network
        for layer, mask in zip(network.hidden, replaced):
            if mask is not None:
                vectors = (self.initial_parameters, network.parameters)
                for initial, present in zip(*(unit_views(network, layer, vector) for vector in vectors)):
                    xp.copyto(initial, present, where=mask.reshape(mask.shape + (1,) * (initial.ndim - 2)))

    def layers_reset(self, layers: list[Any]) -> None:
        initial = self.network.views(self.initial_parameters)
        present = self.network.views(self.network.parameters)
        for layer in layers:
            for name, view in initial[layer.index].items():
                view[...] = present[layer.index][name]

    def arrays(self) -> dict[str, Array]:
        return {"initial_parameters": self.initial_parameters}
