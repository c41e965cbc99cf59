"""Recipes for networks: multilayer perceptrons, the convolutional network of Continual ImageNet, linear baselines."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from minilop.initialization import Scheme
from minilop.layers import Activation, BatchNorm, Bias, Convolution, Dense, Dropout, Flatten, MaxPool
from minilop.layers.activation import NON_MONOTONIC, ActivationName
from minilop.layers.layer import Layer
from minilop.layers.weighted import Weighted
from minilop.networks import HiddenLayer, Network


class _Part(NamedTuple):
    """A layer with weights, and the other layers that belong to its units, while a network is being built."""

    weighted: Weighted
    feature_index: int
    bias: Layer
    normalization: BatchNorm | None = None


def _hidden_layers(parts: Sequence[_Part]) -> list[HiddenLayer]:
    """The hidden layers of a chain of parts whose last part is the output layer."""
    return [
        HiddenLayer(part.weighted, part.feature_index, next_.weighted, part.bias, next_.bias, part.normalization)
        for part, next_ in pairwise(parts)
    ]


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
) -> Network:
    """Dense layers of the given sizes, inputs first. An activation (and dropout) follows each layer but the last."""
    layers: list[Layer] = []
    parts = []
    for num_inputs, num_units in pairwise(sizes[:-1]):
        dense = dense_layer(num_inputs, num_units, activation, scheme)
        layers += [dense, Activation(activation)]
        parts.append(_Part(dense, len(layers), dense))
        if dropout:
            layers.append(Dropout(dropout, num_units))
    output_layer = dense_layer(sizes[-2], sizes[-1], "identity", scheme)
    layers.append(output_layer)
    parts.append(_Part(output_layer, len(layers), output_layer))
    return Network(layers, _hidden_layers(parts), seeds, dtype, (sizes[0],), first_number)


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
    batch_norm   normalize before each activation; after a convolution, the normalization replaces the bias

    The features of a convolution are pooled activations. Max-pooling commutes with every nondecreasing function, so it
    precedes the bias and the activation, which then act on a quarter of the values. Batch normalization precedes
    pooling, because its statistics include all positions. Swish also precedes pooling, because it is not monotonic.

    Raises ValueError if the images are too small for the convolutions and the pooling.
    """
    layers: list[Layer] = []
    parts = []
    num_inputs, size = num_channels, image_size
    for number, kernel_size in kernels:
        convolution = Convolution(num_inputs, number, kernel_size, activation, scheme)
        normalization = BatchNorm(number, image=True) if batch_norm else None
        bias = normalization or Bias(number, convolution.num_inputs, scheme)
        if activation in NON_MONOTONIC:
            layers += [convolution, bias, Activation(activation), MaxPool()]
        elif batch_norm:
            layers += [convolution, bias, MaxPool(), Activation(activation)]
        else:
            layers += [convolution, MaxPool(), bias, Activation(activation)]
        parts.append(_Part(convolution, len(layers), bias, normalization))
        num_inputs, size = number, (size - kernel_size + 1) // 2
        if size < 1:
            sizes = ", ".join(str(kernel_size) for _, kernel_size in kernels)
            raise ValueError(
                f"Images of {image_size} x {image_size} pixels are too small for kernels of size {sizes}, each "
                "followed by 2 x 2 pooling; choose smaller kernels, fewer of them, or larger images."
            )
    layers.append(Flatten())
    parts[-1] = parts[-1]._replace(feature_index=len(layers))
    num_inputs *= size * size
    for num_units in dense_units:
        dense = Dense(num_inputs, num_units, activation, scheme)
        normalization = BatchNorm(num_units, image=False) if batch_norm else None
        layers += [dense, *([normalization] if normalization else []), Activation(activation)]
        parts.append(_Part(dense, len(layers), dense, normalization))
        if dropout:
            layers.append(Dropout(dropout, num_units))
        num_inputs = num_units
    output_layer = Dense(num_inputs, num_outputs, "identity", scheme)
    layers.append(output_layer)
    parts.append(_Part(output_layer, len(layers), output_layer))
    return Network(layers, _hidden_layers(parts), seeds, dtype, (num_channels, image_size, image_size))


def linear(
    input_shape: Sequence[int],
    num_outputs: int,
    seeds: Sequence[int] | int,
    dtype: str,
    first_number: int = 0,
    *,
    dense_layer: type[Dense] = Dense,
) -> Network:
    """One dense layer from inputs (I,) or pixels (C, Y, X) to outputs: the baseline without learned features."""
    flatten = [Flatten()] if len(input_shape) > 1 else []
    dense = dense_layer(math.prod(input_shape), num_outputs, "identity")
    return Network([*flatten, dense], [], seeds, dtype, tuple(input_shape), first_number)
