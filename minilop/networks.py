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
from minilop.layers import Activation, BatchNorm, Bias, Convolution, Dense, Dropout, Flatten, MaxPool
from minilop.layers.activation import DECREASING, ActivationName
from minilop.layers.layer import Layer
from minilop.layers.weighted import Weighted

# Below so many parameters a run, one call works on the same weight of all runs at a time.
RUNS_LAST_BELOW = 500


class HiddenLayer(NamedTuple):
    """Where the units of a hidden layer are: what makes them, what shows them, what consumes them.

    The units of a convolution are its channels. Where a convolution feeds a dense layer, a unit has as many features,
    one after the other, as its channel has places.
    """

    incoming: Weighted
    features: int  # values[features] are their activations, (R, H, B), (R, H, Y, X, B) or, flattened, (R, H Y X, B)
    outgoing: Weighted
    bias: Dense | Convolution | Bias | BatchNorm  # holds the units' biases: the incoming layer where that has them
    outgoing_bias: Dense | Convolution | Bias | BatchNorm  # those of their consumers
    normalization: BatchNorm | None = None  # between the incoming layer and the activation
    further: tuple[Weighted, ...] = ()  # what else reads the features, by way of shortcuts

    def readers(self, shortcuts: bool = False) -> tuple[Weighted, ...]:
        """The layers that consume the features: the next one, and if asked for those that shortcuts lead to."""
        return (self.outgoing, *self.further) if shortcuts else (self.outgoing,)

    def num_consumers(self, shortcuts: bool = False) -> int:
        """How many weights leave a feature."""
        return sum(reader.num_outputs * math.prod(reader.row_shape[1:]) for reader in self.readers(shortcuts))

    def flat_features(self, values: list[Array]) -> Array:
        """Features of the units, (R, F, B): F = H but where units have several; places count as examples else."""
        features = values[self.features]
        return features.reshape(features.shape[:2] + (-1,)) if features.ndim == 5 else features

    def unit_features(self, values: list[Array]) -> Array:
        """Features of the units, (R, H, N): every place of an image counts as an example."""
        features = values[self.features]
        return features.reshape(len(features), self.incoming.num_outputs, -1)

    def outgoing_weight(self, weight: Array) -> Array:
        """The view (R, O, H, ...) of the outgoing weight, or of an array like it, by unit."""
        return weight.reshape(weight.shape[:2] + (self.incoming.num_outputs, -1))


class Network:
    """Layers over one parameter vector, each of which reads what the one before it gives.

    layers        the layers in forward order
    hidden        the hidden layers, whose units a plasticity rule may replace
    seeds         (R,), one a run, or () for a network without the runs axis; from 0 to 2^32 - 1, or ValueError
    dtype         of all parameters and activations
    input_shape   of one example, (I,) or (C, Y, X); what is not given is not checked
    first_number  of the layers with weights; a second network of the same runs counts on, and so draws other numbers

    few_examples  at a time is what it will see; not for mini-batches

    With few examples the parameters of very small networks (below RUNS_LAST_BELOW, not on images) lie in memory with the
    runs last, and NumPy sums a single run of these in another order than several: equal but for rounding.
    `problems/online.py` shows how to avoid even that.

    parameters, gradients   (R, P)
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        hidden: Sequence[HiddenLayer],
        seeds: Sequence[int] | int,
        dtype: str,
        input_shape: tuple[int, ...] | None = None,
        first_number: int = 0,
        few_examples: bool = True,
    ):
        self.layers = list(layers)
        self.hidden = list(hidden)
        self.seeds = np.asarray(seeds)
        if self.seeds.size == 0 or self.seeds.min() < 0 or self.seeds.max() > 2**32 - 1:
            raise ValueError("A network needs at least one seed, each from 0 to 2^32 - 1.")
        shapes = [shape for layer in layers for shape in layer.parameter_shapes().values()]
        self.num_parameters = sum(math.prod(shape) for shape in shapes)
        is_small = self.num_parameters < RUNS_LAST_BELOW and (input_shape is None or len(input_shape) == 1)
        self.runs_last = few_examples and self.seeds.ndim == 1 and is_small and backend.name() != "cupy"
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
        self.dense_layers = [layer for layer in self.layers if isinstance(layer, Dense)]
        self.weighted_layers = [layer for layer in self.layers if isinstance(layer, Weighted)]
        # Those that learn in another way than they are evaluated.
        self.two_way_layers = [layer for layer in self.layers if isinstance(layer, (Dropout, BatchNorm))]

    def initialize(self, draw: int = 0) -> None:
        """Give all parameters and running statistics their initial values; another `draw`, other random ones."""
        for layer in self.layers:
            layer.initialize(self.seeds, self.dtype, draw)

    def buffers(self) -> dict[str, Array]:
        """The running statistics of all layers, by name and place of the layer."""
        return {f"{name}.{layer.index}": array for layer in self.layers for name, array in layer.buffers().items()}

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

    def check_inputs(self, inputs: Array) -> None:
        """Raises ValueError for inputs of another shape than the network has been made for."""
        expected = self.input_shape
        if expected is not None and inputs.shape[:-1] != expected:
            letters, numbers = "I" if len(expected) == 2 else "C, Y, X", ", ".join(map(str, expected))
            raise ValueError(f"Inputs must have the shape (R, {letters}, B), here ({numbers}, B), not {inputs.shape}.")

    def begin_step(self, step: int) -> None:
        """Let the layers behave as in this step of learning, with what is random in it."""
        for layer in self.two_way_layers:
            layer.begin_step(step)

    def begin_evaluation(self) -> None:
        """Let the layers behave as when nothing is learned, until the next step begins."""
        for layer in self.two_way_layers:
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
    first_number: int = 0,
    few_examples: bool = True,
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
    hidden = [HiddenLayer(one, place, other, one, other) for one, place, other in zip(dense, features, dense[1:])]
    return Network(layers, hidden, seeds, dtype, (sizes[0],), first_number, few_examples)


def convnet(
    seeds: Sequence[int] | int,
    dtype: str,
    *,
    image_size: int = 32,
    num_channels: int = 3,
    kernels: Sequence[tuple[int, int]] = ((32, 5), (64, 3), (128, 3)),
    dense_units: Sequence[int] = (128, 128),
    num_outputs: int = 2,
    activation: ActivationName = "relu",
    scheme: Scheme = "default",
    dropout: float = 0.0,
    batch_norm: bool = False,
) -> Network:
    """The network of Continual ImageNet: convolutions, each with 2 x 2 max-pooling, then dense layers.

    kernels      number and size of the kernels of each convolution
    dropout      probability that a feature of the dense layers is dropped
    batch_norm   normalize before each activation; behind a convolution that takes the place of the bias

    The features of a convolution are pooled activations. Pooling commutes with whatever never decreases, so it comes as
    early as it can: of sums and relus then only a quarter is computed.

    Raises ValueError where a convolution or a pooling finds no place left.
    """
    layers: list[Layer] = []
    weighted: list[Weighted] = []
    biases: list[Dense | Bias | BatchNorm] = []
    normalizations: list[BatchNorm | None] = []
    features = []
    num_inputs, size = num_channels, image_size
    for number, kernel_size in kernels:
        convolution = Convolution(num_inputs, number, kernel_size, activation, scheme)
        bias = BatchNorm(number, image=True) if batch_norm else Bias(number, convolution.num_inputs, scheme)
        if activation in DECREASING:
            layers += [convolution, bias, Activation(activation), MaxPool()]
        elif batch_norm:  # with the statistics of all places
            layers += [convolution, bias, MaxPool(), Activation(activation)]
        else:
            layers += [convolution, MaxPool(), bias, Activation(activation)]
        weighted.append(convolution)
        biases.append(bias)
        normalizations.append(bias if isinstance(bias, BatchNorm) else None)
        features.append(len(layers))
        num_inputs, size = number, (size - kernel_size + 1) // 2
        if size < 1:
            sizes = ", ".join(str(kernel_size) for _, kernel_size in kernels)
            raise ValueError(
                f"Images of {image_size} x {image_size} pixels are too small for kernels of size {sizes}, each followed "
                "by 2 x 2 pooling; choose smaller kernels, fewer of them, or larger images."
            )
    layers.append(Flatten())
    features[-1] = len(layers)
    num_inputs *= size * size
    for num_units in dense_units:
        dense = Dense(num_inputs, num_units, activation, scheme)
        normalization = BatchNorm(num_units, image=False) if batch_norm else None
        layers += [dense, *filter(None, [normalization]), Activation(activation)]
        weighted.append(dense)
        biases.append(dense)
        normalizations.append(normalization)
        features.append(len(layers))
        if dropout:
            layers.append(Dropout(dropout, num_units))
        num_inputs = num_units
    head = Dense(num_inputs, num_outputs, "identity", scheme)
    layers.append(head)
    weighted.append(head)
    biases.append(head)
    hidden = [
        HiddenLayer(*place) for place in zip(weighted, features, weighted[1:], biases, biases[1:], normalizations)
    ]
    return Network(layers, hidden, seeds, dtype, (num_channels, image_size, image_size))


def linear(
    input_shape: Sequence[int],
    num_outputs: int,
    seeds: Sequence[int] | int,
    dtype: str,
    first_number: int = 0,
    few_examples: bool = True,
) -> Network:
    """One dense layer from inputs (I,) or pixels (C, Y, X) to outputs, the baseline that has no features to lose."""
    flatten = [Flatten()] if len(input_shape) > 1 else []
    dense = Dense(math.prod(input_shape), num_outputs, "identity")
    return Network([*flatten, dense], [], seeds, dtype, tuple(input_shape), first_number, few_examples)
