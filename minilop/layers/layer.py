"""What every layer offers; the defaults are those of a layer without parameters and without randomness."""

import numpy as np

from minilop.backend import Array


class Layer:
    """A differentiable function of one array."""

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the parameters of one run, in the order in which they lie in the flat vector."""
        return {}

    def initialize(self, seeds: np.ndarray, index: int, dtype: str) -> None:
        """Give the parameters their initial values, and remember what later draws need.

        seeds   () or (R,)   one a run
        index                place in the network; the coordinate `layer` of its draws
        """

    def begin_step(self, step: int) -> None:
        """Draw what is random in this step of learning."""

    def begin_evaluation(self) -> None:
        """Behave, until the next step begins, as when nothing is learned: without any randomness."""

    def forward(self, inputs: Array) -> Array:
        raise NotImplementedError

    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        raise NotImplementedError

    def fill_gradients(self, inputs: Array, output_gradient: Array) -> None:
        """Write the gradients of the parameters into their places in the flat vector."""
