"""A network is a list of layers over one flat array of parameters. `recipes.py` makes the networks of the problems.

All parameters of a network are in one array (R, P). The weight and bias of each layer are views of it, layer after
layer, the weight before its bias, with axes in PyTorch's order. An optimizer can therefore treat all parameters as one
vector. The same views of another array (R, P), such as a moment or the step sizes, give the part that belongs to a
layer.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minilop.backend import Array, xp
from minilop.layers.layer import Layer
from minilop.layers.weighted import Weighted


class HiddenLayer(NamedTuple):
    """A hidden layer: the layers that produce the features of its units and the layers that consume them.

    The units of a convolution are its channels. If a convolution feeds a dense layer, a unit has one feature for each
    position in its channel, and the features of a unit are adjacent.
    """

    incoming: Weighted
    feature_index: int  # values[feature_index] are the features: (R, H, B), (R, H, Y, X, B), or flattened (R, H Y X, B)
    outgoing: Weighted
    bias: Any  # the layer with the units' biases, (R, H, 1) or (R, H, 1, 1, 1): `incoming` or a layer after it
    outgoing_bias: Any  # the layer with the biases of the units of `outgoing`
    normalization: Any = None  # a BatchNorm between the incoming layer and the activation
    shortcut_consumers: tuple[Weighted, ...] = ()  # other layers that the features reach through shortcuts

    def flat_features(self, values: list[Array]) -> Array:
        """Features of the units, (R, F, B), F a multiple of H. Positions of an image (R, H, Y, X, B) are examples."""
        features = values[self.feature_index]
        return features.reshape(features.shape[:2] + (-1,)) if features.ndim == 5 else features

    def unit_features(self, values: list[Array]) -> Array:
        """Features of the units, (R, H, N): each position of an image counts as an example."""
        features = values[self.feature_index]
        return features.reshape(len(features), self.incoming.num_outputs, -1)

    def outgoing_weight(self, weight: Array) -> Array:
        """The outgoing weight, or an array of its shape, as a view with an axis for the units, (R, O, H, ...)."""
        return weight.reshape(weight.shape[:2] + (self.incoming.num_outputs, -1))


class Network:
    """Layers over one parameter vector; each layer takes the outputs of the layer before it.

    layers        the layers in forward order
    hidden        the hidden layers, whose units a plasticity rule may replace
    seeds         (R,), or () for a network without the runs axis; from 0 to 2^32 - 1
    dtype         of all parameters and activations, float32 or float64
    input_shape   of one example, (I,) or (C, Y, X); if given, inputs are checked against it
    first_number  the number of the first layer with weights; the layer numbers of a second network of the same runs
                  continue those of the first network, so that the two networks get different random numbers

    parameters, gradients   (R, P)

    Raises ValueError for invalid seeds or dtypes.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        hidden: Sequence[HiddenLayer],
        seeds: Sequence[int] | int,
        dtype: str,
        input_shape: tuple[int, ...] | None = None,
        first_number: int = 0,
    ):
        self.layers = list(layers)
        self.hidden = list(hidden)
        self.seeds = np.asarray(seeds)
        whole = self.seeds.size > 0 and self.seeds.dtype.kind in "iu"
        if not whole or self.seeds.min() < 0 or self.seeds.max() > 2**32 - 1:
            raise ValueError(
                "A network needs at least one seed, and all seeds must be whole numbers from 0 to 2^32 - 1."
            )
        if dtype not in ("float32", "float64", np.float32, np.float64):
            raise ValueError(f"dtype must be float32 or float64, not {dtype!r}")
        self.layer_sizes = [sum(map(math.prod, layer.parameter_shapes().values())) for layer in layers]
        self.num_parameters = sum(self.layer_sizes)
        self.dtype = dtype
        self.first_number = first_number
        self.parameters = self.zeros(self.num_parameters)
        self.gradients = self.zeros(self.num_parameters)
        for layer, views, gradients in zip(layers, self.views(self.parameters), self.views(self.gradients)):
            for name, view in views.items():
                setattr(layer, name, view)
                setattr(layer, f"{name}_gradient", gradients[name])
        for index, layer in enumerate(self.layers):
            layer.index = index
            weighted = sum(isinstance(before, Weighted) for before in layers[: index + 1])
            layer.number = first_number + max(0, weighted - 1)
        self.initialize()
        self.input_shape = None if input_shape is None else self.seeds.shape + input_shape
        self.weighted_layers = [layer for layer in self.layers if isinstance(layer, Weighted)]
        self.dense_layers: list[Any] = [layer for layer in self.weighted_layers if len(layer.row_shape) == 1]

    def initialize(self, draw: int = 0) -> None:
        """Set all parameters and running statistics to initial values; each `draw` gives different random values."""
        for layer in self.layers:
            layer.initialize(self.seeds, self.dtype, draw)

    def buffers(self) -> dict[str, Array]:
        """The running statistics of all layers, by their name and the index of the layer."""
        return {f"{name}.{layer.index}": array for layer in self.layers for name, array in layer.buffers().items()}

    def zeros(self, length: int) -> Array:
        """Zeros (R, length)."""
        return xp.zeros(self.seeds.shape + (length,), self.dtype)

    def views(self, vector: Array) -> list[dict[str, Array]]:
        """For each layer, the views of `vector` (R, P) that belong to its parameters, by name."""
        views, start = [], 0
        for layer in self.layers:
            parts = {}
            for name, shape in layer.parameter_shapes().items():
                stop = start + math.prod(shape)
                parts[name] = vector[..., start:stop].reshape(vector.shape[:-1] + shape)
                start = stop
            views.append(parts)
        return views

    def named(self, vector: Array) -> dict[str, Array]:
        """The same views by name: "weight/0" and "bias/0" of the first layer with weights, "normalization_scale/0", ...

        `state.copied(network.named(network.parameters))` copies the parameters, and `state.restore` restores them.
        """
        named: dict[str, Array] = {}
        for layer, views in zip(self.layers, self.views(vector)):
            prefix = "normalization_" if "scale" in views else ""
            named |= {f"{prefix}{name}/{layer.number}": view for name, view in views.items()}
        return named

    def check_inputs(self, inputs: Array) -> None:
        """Raises ValueError for inputs of the wrong shape."""
        expected = self.input_shape
        if expected is not None and inputs.shape[:-1] != expected:
            letters, numbers = "I" if len(expected) == 2 else "C, Y, X", ", ".join(map(str, expected))
            raise ValueError(f"Inputs must have the shape (R, {letters}, B), here ({numbers}, B), not {inputs.shape}.")

    def begin_step(self, step: int) -> None:
        """Prepare the layers for this step of learning, including its random draws."""
        for layer in self.layers:
            layer.begin_step(step)

    def begin_evaluation(self) -> None:
        """Prepare the layers for evaluation, until the next step of learning begins."""
        for layer in self.layers:
            layer.begin_evaluation()

    def forward(self, inputs: Array) -> list[Array]:
        """The inputs and the outputs of every layer; the last entry is the output of the network."""
        values = [inputs]
        for layer in self.layers:
            values.append(layer.forward(values[-1]))
        return values

    def backward(self, values: list[Array], output_gradient: Array) -> list[Array]:
        """For each layer, the gradient of the loss with respect to its outputs."""
        output_gradients = [output_gradient]
        for index in range(len(self.layers) - 1, 0, -1):
            layer = self.layers[index]
            output_gradients.append(layer.backward(values[index], values[index + 1], output_gradients[-1]))
        return output_gradients[::-1]

    def fill_gradients(self, values: list[Array], output_gradients: list[Array]) -> Array:
        """The gradient of the loss with respect to all parameters, (R, P)."""
        for layer, inputs, output_gradient in zip(self.layers, values, output_gradients):
            layer.fill_gradients(inputs, output_gradient)
        return self.gradients

    def flush(self) -> None:
        """Apply the updates that layers of minilop/fast have buffered."""
        for layer in self.layers:
            layer.flush()
