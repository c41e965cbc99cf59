"""Networks: a list of layers over one flat array of parameters, and the recipes that make them.

All parameters of a network are one array (R, P); each layer's weight and bias are views into it, layer after layer,
the weight before its bias, in PyTorch's order of axes. So a learning rule is mathematics on a vector, and the same
views laid over a moment or a step size of shape (R, P) show the part that belongs to a layer.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from minilop import backend
from minilop.backend import Array, xp
from minilop.initialization import Scheme
from minilop.layers import Activation, Dense, Dropout
from minilop.layers.activation import ActivationName
from minilop.layers.layer import Layer

# Below so many parameters a run, one call works on the same weight of all runs at a time.
RUNS_LAST_BELOW = 500


class HiddenLayer(NamedTuple):
    """Where the units of a hidden layer are: what makes them, what shows them, what consumes them."""

    incoming: Dense
    features: int  # values[features] are their activations (R, H, B)
    outgoing: Dense


class Network:
    """Layers over one parameter vector.

    layers    the layers in forward order
    hidden    the hidden layers, whose units a plasticity rule may replace
    seeds     (R,), one a run, or () for a network without the runs axis; from 0 to 2^32 - 1, or ValueError
    dtype     of all parameters and activations

    The parameters of very small networks (below RUNS_LAST_BELOW) lie in memory with the runs last, and NumPy sums a single
    run of these in another order than several: equal but for rounding. `problems/online.py` shows how to avoid even that.

    parameters, gradients   (R, P)
    """

    def __init__(self, layers: Sequence[Layer], hidden: Sequence[HiddenLayer], seeds: Sequence[int] | int, dtype: str):
        self.layers = list(layers)
        self.hidden = list(hidden)
        self.seeds = np.asarray(seeds)
        if self.seeds.size == 0 or self.seeds.min() < 0 or self.seeds.max() > 2**32 - 1:
            raise ValueError("A network needs at least one seed, each from 0 to 2^32 - 1.")
        shapes = [shape for layer in layers for shape in layer.parameter_shapes().values()]
        self.num_parameters = sum(math.prod(shape) for shape in shapes)
        self.runs_last = self.seeds.ndim == 1 and self.num_parameters < RUNS_LAST_BELOW and backend.name() != "cupy"
        self.dtype = dtype
        self.parameters = self.zeros(self.num_parameters)
        self.gradients = self.zeros(self.num_parameters)
        for layer, views, gradients in zip(layers, self.views(self.parameters), self.views(self.gradients)):
            for name, view in views.items():
                setattr(layer, name, view)
                setattr(layer, f"{name}_gradient", gradients[name])
        for index, layer in enumerate(self.layers):
            layer.index = index
            layer.number = sum(bool(before.parameter_shapes()) for before in layers[:index])
            layer.initialize(self.seeds, dtype)
        self.dense_layers = [layer for layer in self.layers if isinstance(layer, Dense)]
        self.random_layers = [layer for layer in self.layers if isinstance(layer, Dropout)]

    def zeros(self, length: int) -> Array:
        """Zeros (R, length), in memory stored as the parameters are."""
        if self.runs_last:
            return xp.zeros((length, len(self.seeds)), self.dtype).T
        return xp.zeros(self.seeds.shape + (length,), self.dtype)

    def views(self, vector: Array) -> list[dict[str, Array]]:
        """For each layer, the parts of `vector` (R, P) that belong to its parameters, by name, as views."""
        views, start = [], 0
        for layer in self.layers:
            parts = {}
            for name, shape in layer.parameter_shapes().items():
                stop = start + math.prod(shape)
                parts[name] = vector[..., start:stop].reshape(vector.shape[:-1] + shape)
                start = stop
            views.append(parts)
        return views

    def begin_step(self, step: int) -> None:
        """Let the layers draw what is random in this step of learning."""
        for layer in self.random_layers:
            layer.begin_step(step)

    def begin_evaluation(self) -> None:
        """Let the layers be deterministic until the next step begins."""
        for layer in self.random_layers:
            layer.begin_evaluation()

    def forward(self, inputs: Array) -> list[Array]:
        """The inputs and the outputs of every layer; the last entry is the network's output."""
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

    def descend(
        self, values: list[Array], output_gradients: list[Array], step_size: float, weight_decay: float = 0.0
    ) -> None:
        """SGD on one example, layer by layer, without forming the gradient of the parameters.

        Raises ValueError for a mini-batch of more.
        """
        if values[0].shape[-1] != 1:
            raise ValueError("Updates in place, or saved up, are for one example a step; choose update=gradient.")
        for layer in self.dense_layers:
            layer.descend(values[layer.index], output_gradients[layer.index], step_size, weight_decay)

    def flush(self) -> None:
        """Bring the parameters up to date where layers save updates up."""
        for layer in self.dense_layers:
            layer.flush()


def mlp(
    sizes: Sequence[int],
    activation: ActivationName,
    seeds: Sequence[int] | int,
    dtype: str,
    *,
    scheme: Scheme = "kaiming",
    dropout: float = 0.0,
    dense_layer: type[Dense] = Dense,
) -> Network:
    """Dense layers of the given sizes, inputs first; an activation (and dropout) after each but the last."""
    layers: list[Layer] = []
    dense: list[Dense] = []
    features = []
    for num_inputs, num_outputs in pairwise(sizes[:-1]):
        dense.append(dense_layer(num_inputs, num_outputs, activation, scheme))
        layers += [dense[-1], Activation(activation)]
        features.append(len(layers))
        if dropout:
            layers.append(Dropout(dropout, num_outputs))
    dense.append(dense_layer(sizes[-2], sizes[-1], "identity", scheme))
    layers.append(dense[-1])
    hidden = [HiddenLayer(*place) for place in zip(dense, features, dense[1:])]
    return Network(layers, hidden, seeds, dtype)


def linear(num_inputs: int, num_outputs: int, seeds: Sequence[int] | int, dtype: str) -> Network:
    """One dense layer from inputs to outputs, the baseline that has no features to lose."""
    return mlp((num_inputs, num_outputs), "identity", seeds, dtype)
