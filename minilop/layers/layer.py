"""The interface of all layers. The default methods suit a layer without parameters and without randomness."""

from abc import ABC, abstractmethod

import numpy as np

from minilop.backend import Array


class Layer(ABC):
    """A differentiable function of one array, or of a pair of arrays if the layer has two `sources`.

    The inputs and the input gradients of a layer with two sources are pairs.
    """

    index: int  # of the layer in the network's list of layers
    number: int  # index among the layers with weights of this layer or the last one before it; keys its draws
    sources: tuple[int, ...] = ()  # in a `Graph`, indices in `values` of the inputs; if empty, the outputs just before

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the parameters of one run, in the order of the flat vector."""
        return {}

    def initialize(self, seeds: np.ndarray, dtype: str, draw: int = 0) -> None:
        """Set the parameters to their initial values, and store what later draws need.

        seeds   () or (R,), one per run
        draw    the index of the draw; different indices give different random values
        """

    def buffers(self) -> dict[str, Array]:
        """Arrays, by name, that learning changes without the optimizer; the first axis of each is R."""
        return {}

    def begin_step(self, step: int) -> None:
        """Prepare for this step of learning, including its random draws."""

    def begin_evaluation(self) -> None:
        """Prepare for evaluation, without randomness, until the next step of learning begins."""

    @abstractmethod
    def forward(self, inputs: Array) -> Array:
        """The outputs."""

    @abstractmethod
    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        """The gradient of the loss with respect to the inputs, given the gradient with respect to the outputs."""

    def fill_gradients(self, inputs: Array, output_gradient: Array) -> None:
        """Write the gradients of the parameters into the network's flat vector of gradients."""

    def flush(self) -> None:
        """Apply updates that the layer has buffered; only layers of minilop/fast buffer any."""
