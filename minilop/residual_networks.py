"""Residual networks (He, Zhang, Ren and Sun, CVPR 2016).

`Graph` is a network whose layers may take any earlier values as inputs. `resnet` makes the ResNet-18 of
class-incremental CIFAR-100 and smaller networks of the same kind.

The network of Dohare et al. (2024), nets/torchvision_modified_resnet.py, differs from torchvision's as follows:

    stem              3 x 3, stride 1, without max-pooling, because the images have only 32 x 32 pixels
    biases            every convolution has one, including those of the shortcuts
    initial weights   normal, variance 2 / fan_in for convolutions and 1 / fan_in for the head; biases 0
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from minilop.backend import Array
from minilop.layers import Activation, BatchNorm, Convolution, Dense
from minilop.layers.layer import Layer
from minilop.layers.residual import Add, GlobalAveragePool
from minilop.networks import HiddenLayer, Network


class Graph(Network):
    """A network in which the `sources` of a layer may be any earlier values, and a value may have several consumers.

    values[0] are the inputs, and values[i + 1] are the outputs of layer i. A layer with two sources takes a pair of
    arrays and returns a pair of gradients. To save a quarter of the memory of a step, `backward` returns None in place
    of gradients that `fill_gradients` does not use. Everything else is as in `Network`.
    """

    def forward(self, inputs: Array) -> list[Array]:
        values = [inputs]
        for layer in self.layers:
            values.append(layer.forward(_inputs(layer, values)))
        return values

    def hidden_features(self, inputs: Array) -> Iterator[Array]:
        """The features (R, H, N) of one hidden layer after another.

        A value is dropped after its last consumer has used it, so the network can process a thousand images without
        storing all values of all layers.
        """
        last_consumer = {source: layer.index for layer in self.layers for source in _sources(layer)}
        hidden = {layer.feature_index: layer for layer in self.hidden}
        values: list[Any] = [inputs, *[None] * len(self.layers)]
        for layer in self.layers:
            values[layer.index + 1] = layer.forward(_inputs(layer, values))
            for source in _sources(layer):
                if last_consumer[source] == layer.index:
                    values[source] = None
            if layer.index + 1 in hidden:
                yield hidden[layer.index + 1].unit_features(values)

    def backward(self, values: list[Array], output_gradient: Array) -> list[Array]:
        gradients: list[Any] = [None] * len(values)  # of the loss with respect to each value
        gradients[-1] = output_gradient
        for layer in reversed(self.layers):
            sources = _sources(layer)
            if sources == (0,):  # the gradient with respect to the network's inputs is not needed
                continue
            result = layer.backward(_inputs(layer, values), values[layer.index + 1], gradients[layer.index + 1])
            input_gradients = result if len(sources) > 1 else (result,)
            for source, gradient in zip(sources, input_gradients):
                # Not in place, because the two gradients of a sum are the same array.
                gradients[source] = gradient if gradients[source] is None else gradients[source] + gradient
            if isinstance(layer, BatchNorm) or not layer.parameter_shapes():
                gradients[layer.index + 1] = None
        return gradients[1:]

    def fill_gradients(self, values: list[Array], output_gradients: list[Array]) -> Array:
        for layer, output_gradient in zip(self.layers, output_gradients):
            layer.fill_gradients(_inputs(layer, values), output_gradient)
        return self.gradients


def _sources(layer: Layer) -> tuple[int, ...]:
    """Indices into `values`; by default that of the outputs of the layer before."""
    return layer.sources or (layer.index,)


def _inputs(layer: Layer, values: list[Array]) -> Any:
    """The inputs of a layer: an array, or a pair of arrays if it has two sources."""
    first, *others = (values[source] for source in _sources(layer))
    return (first, *others) if others else first


@dataclass
class _Part:
    """A hidden layer while the network is being put together."""

    convolution: Convolution
    normalization: BatchNorm
    feature_index: int
    consumers: list[Convolution | Dense] = field(default_factory=list)  # of the features, in forward order

    def hidden_layer(self) -> HiddenLayer:
        outgoing, *shortcut_consumers = self.consumers
        norm, index = self.normalization, self.feature_index
        return HiddenLayer(
            self.convolution, index, outgoing, self.convolution, outgoing, norm, tuple(shortcut_consumers)
        )


def resnet(
    seeds: Sequence[int] | int,
    dtype: str,
    *,
    widths: Sequence[int] = (64, 128, 256, 512),
    blocks: Sequence[int] = (2, 2, 2, 2),
    image_size: int = 32,
    num_channels: int = 3,
    num_outputs: int = 100,
) -> Graph:
    """The residual network of class-incremental CIFAR-100, a ResNet-18: stem, stages of blocks, global average, head.

        block(x) = relu(norm(conv(relu(norm(conv(x))))) + shortcut(x))

    The first block of every stage except the first halves height and width by a stride of 2, and its shortcut is a
    1 x 1 convolution with a normalization. All other shortcuts are the identity.

    widths   number of channels of each stage; the stem has as many channels as the first stage
    blocks   number of blocks of each stage

    Layers with weights are numbered in this order: the stem; for each block its first convolution, its second
    convolution, and the convolution of its shortcut if there is one; the head. As published (res_gnt.py), the hidden
    layers are all convolutions except those of shortcuts, in forward order. The features of a block's second
    convolution are the outputs of the block. The features of the last convolution are averages over all positions.

    Raises ValueError unless every stage has a positive width and number of blocks.
    """
    if len(widths) != len(blocks) or not widths or min(*widths, *blocks) < 1:
        raise ValueError(f"Every stage needs a width and a number of blocks, not widths {widths} and blocks {blocks}.")
    layers: list[Layer] = []
    parts: list[_Part] = []
    stream: list[_Part] = []  # the parts whose channels are in the sum that the next shortcut carries

    def append(*new_layers: Layer) -> int:
        """Append layers; returns the index in `values` of the outputs of the last layer."""
        layers.extend(new_layers)
        return len(layers)

    def add_consumer_of_stream(consumer: Convolution | Dense) -> None:
        for part in stream:
            part.consumers.append(consumer)

    def convolution(num_inputs: int, num_outputs: int, size: int, stride: int) -> Convolution:
        padding = size // 2
        return Convolution(
            num_inputs, num_outputs, size, scheme="kaiming_normal", stride=stride, padding=padding, has_bias=True
        )

    num_inputs = widths[0]
    stem, norm = convolution(num_channels, num_inputs, 3, 1), BatchNorm(num_inputs, image=True)
    block_input = append(stem, norm, Activation("relu"))  # index in `values`
    parts.append(_Part(stem, norm, block_input))
    stream.append(parts[-1])
    for stage, (width, num_blocks) in enumerate(zip(widths, blocks)):
        for stride in [2 if stage else 1] + [1] * (num_blocks - 1):
            first, norm = convolution(num_inputs, width, 3, stride), BatchNorm(width, image=True)
            second = convolution(width, width, 3, 1)
            add_consumer_of_stream(first)
            parts.append(_Part(first, norm, append(first, norm, Activation("relu")), [second]))
            norm = BatchNorm(width, image=True)
            branch, shortcut = append(second, norm), block_input
            if stride == 2:
                projection = convolution(num_inputs, width, 1, stride)
                projection.sources = (block_input,)
                shortcut = append(projection, BatchNorm(width, image=True))
                add_consumer_of_stream(projection)
                stream = []  # the shortcut does not carry earlier channels into this stage
            block_input = append(Add(branch, shortcut), Activation("relu"))
            parts.append(_Part(second, norm, block_input))
            stream.append(parts[-1])
            num_inputs = width
    parts[-1].feature_index = append(GlobalAveragePool())
    head = Dense(num_inputs, num_outputs, "identity", "kaiming_normal")
    append(head)
    add_consumer_of_stream(head)
    hidden = [part.hidden_layer() for part in parts]
    return Graph(layers, hidden, seeds, dtype, (num_channels, image_size, image_size))
