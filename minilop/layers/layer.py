"""What every layer offers; the defaults are those of a layer without parameters and without randomness."""

from abc import ABC, abstractmethod

import numpy as np

from minilop.backend import Array


class Layer(ABC):
    """A differentiable function of one array; where it has two `sources`, of two, and its inputs and their gradients are
    pairs."""

    index: int  # its place among the layers of the network
    number: int  # of the layer with weights that it is or follows, counted from 0: the coordinate `layer` of its draws
    sources: tuple[int, ...] = ()  # in a `Graph`, places in `values` of what it reads; empty: what came just before

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the parameters of one run, in the order in which they lie in the flat vector."""
        return {}

    def initialize(self, seeds: np.ndarray, dtype: str, draw: int = 0) -> None:
        """Give the parameters their initial values, and remember what later draws need.

        seeds   () or (R,), one a run
        draw    a number; another one gives other random values
        """

    def buffers(self) -> dict[str, Array]:
        """Arrays by name that steps of learning change but no optimizer does, each with the runs first."""
        return {}

    def begin_step(self, step: int) -> None:
        """Draw what is random in this step of learning."""

    def begin_evaluation(self) -> None:
        """Behave, until the next step begins, as when nothing is learned: without any randomness."""

    @abstractmethod
    def forward(self, inputs: Array) -> Array:
        """The outputs."""

    @abstractmethod
    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        """The gradient of the loss with respect to the inputs, from that with respect to the outputs."""

    def fill_gradients(self, inputs: Array, output_gradient: Array) -> None:
        """Write the gradients of the parameters into their places in the flat vector."""

    def flush(self) -> None:
        """Apply updates that the layer has buffered; only layers of minilop/fast buffer any."""
