"""Residual networks (He, Zhang, Ren and Sun, CVPR 2016): a network whose layers may read values other than the last one,
and the ResNet-18 of class-incremental CIFAR-100, with smaller members of its family.

The network of Dohare et al. (2024), nets/torchvision_modified_resnet.py, is torchvision's with these departures:

    stem              3 x 3, stride 1, without max-pooling: the images have 32 x 32 pixels only
    biases            every convolution has one, those of the shortcuts too
    initial weights   normal, variance 2 / fan_in for convolutions and 1 / fan_in for the head; biases 0
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from minilop.backend import Array
from minilop.layers import Activation, Add, BatchNorm, Convolution, Dense, GlobalAveragePool, Winograd
from minilop.layers.layer import Layer
from minilop.networks import HiddenLayer, Network


class Graph(Network):
    """A network in which a layer may name its `sources`, any values before it; a value may be read more than once.

    Layers with two sources take and return pairs. `backward` returns None in place of gradients that `fill_gradients`
    has no use for, a quarter of the memory of a step. Everything else is as in `Network`.
    """

    def forward(self, inputs: Array) -> list[Array]:
        values = [inputs]
        for layer in self.layers:
            values.append(layer.forward(_inputs(layer, values)))
        return values

    def look(self, inputs: Array, measure: Callable[[Array], Any]) -> list[Any]:
        """`measure` of the features (R, H, N) of each hidden layer; a value that nobody reads any more is not kept.

        What remains of a thousand images is so the largest few values, not all of them.
        """
        last_reader = {place: layer.index for layer in self.layers for place in _sources(layer)}
        hidden = {layer.features: layer for layer in self.hidden}
        values: list[Any] = [inputs, *[None] * len(self.layers)]
        found = []
        for layer in self.layers:
            values[layer.index + 1] = layer.forward(_inputs(layer, values))
            for place in _sources(layer):
                if last_reader[place] == layer.index:
                    values[place] = None
            if layer.index + 1 in hidden:
                found.append(measure(hidden[layer.index + 1].unit_features(values)))
        return found

    def backward(self, values: list[Array], output_gradient: Array) -> list[Array]:
        gradients: list[Any] = [None] * len(values)  # of the loss with respect to each value
        gradients[-1] = output_gradient
        for layer in reversed(self.layers):
            places = _sources(layer)
            if places == (0,):  # nobody asks for the gradient of the network's inputs
                continue
            found = layer.backward(_inputs(layer, values), values[layer.index + 1], gradients[layer.index + 1])
            for place, gradient in zip(places, found if layer.sources[1:] else (found,)):
                # Not in place: the two gradients of a sum are one array.
                gradients[place] = gradient if gradients[place] is None else gradients[place] + gradient
            if isinstance(layer, BatchNorm) or not layer.parameter_shapes():
                gradients[layer.index + 1] = None
        return gradients[1:]

    def fill_gradients(self, values: list[Array], output_gradients: list[Array]) -> Array:
        for layer, output_gradient in zip(self.layers, output_gradients):
            layer.fill_gradients(_inputs(layer, values), output_gradient)
        return self.gradients


def _sources(layer: Layer) -> tuple[int, ...]:
    return layer.sources or (layer.index,)


def _inputs(layer: Layer, values: list[Array]) -> Any:
    """What a layer reads: an array, or a pair of arrays."""
    first, *others = (values[place] for place in _sources(layer))
    return (first, *others) if others else first


@dataclass
class _Listed:
    """A hidden layer while the network is being put together."""

    convolution: Convolution
    normalization: BatchNorm
    features: int
    readers: list[Convolution | Dense] = field(default_factory=list)  # of the features, the one listed next first

    def hidden_layer(self) -> HiddenLayer:
        following, *further = self.readers
        return HiddenLayer(
            self.convolution,
            self.features,
            following,
            bias=self.convolution,
            outgoing_bias=following,
            normalization=self.normalization,
            further=tuple(further),
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
    winograd: bool = False,
) -> Graph:
    """The residual network of class-incremental CIFAR-100, a ResNet-18: stem, stages of blocks, mean over places, head.

        block(x) = relu(norm(conv(relu(norm(conv(x))))) + shortcut(x))

    Layers with weights are counted in this order: stem; of each block the first convolution, the second, and the one of its
    shortcut if it has one; head.

    The first block of every stage but the first halves height and width, by a stride of 2, and its shortcut is a 1 x 1
    convolution with a normalization; the others' shortcuts are the identity.

    widths     channels of each stage; the stem has as many as the first
    blocks     how many blocks each stage has
    winograd   compute 3 x 3 convolutions of stride 1 by Winograd's algorithm: faster, and equal but for rounding

    Hidden layers are all convolutions but those of the shortcuts, in forward order, as published (res_gnt.py). The units of
    a block's second convolution have the block's output as their features, those of the last one its mean over places.

    Raises ValueError where widths and blocks do not describe stages.
    """
    if len(widths) != len(blocks) or not widths or min(*widths, *blocks) < 1:
        raise ValueError(f"Stages need a width and a number of blocks each, not widths {widths} and blocks {blocks}.")
    layers: list[Layer] = []
    listed: list[_Listed] = []
    stream: list[_Listed] = []  # those whose channels the present stage carries along

    def append(*new: Layer) -> int:
        """Returns the place of the last one's outputs in the values."""
        layers.extend(new)
        return len(layers)

    def convolution(num_inputs: int, num_outputs: int, size: int, stride: int) -> Convolution:
        if winograd and size == 3 and stride == 1 and layers:  # for the stem's few channels it does not pay
            return Winograd(num_inputs, num_outputs, scheme="kaiming_normal", has_bias=True)
        return Convolution(
            num_inputs,
            num_outputs,
            size,
            scheme="kaiming_normal",
            stride=stride,
            padding=size // 2,
            has_bias=True,
            keep_patches=False,
        )

    def listen(reader: Convolution | Dense) -> None:
        """`reader` reads the stream."""
        for each in stream:
            each.readers.append(reader)

    num_inputs = widths[0]
    stem, norm = convolution(num_channels, num_inputs, 3, 1), BatchNorm(num_inputs, image=True)
    place = append(stem, norm, Activation("relu"))  # of the stream's present values
    listed.append(_Listed(stem, norm, place))
    stream.append(listed[-1])
    for stage, (width, num_blocks) in enumerate(zip(widths, blocks)):
        for stride in [2 if stage else 1] + [1] * (num_blocks - 1):
            first, norm = convolution(num_inputs, width, 3, stride), BatchNorm(width, image=True)
            listen(first)
            second = convolution(width, width, 3, 1)
            listed.append(_Listed(first, norm, append(first, norm, Activation("relu")), [second]))
            norm = BatchNorm(width, image=True)
            branch, shortcut = append(second, norm), place
            if stride == 2:
                projection = convolution(num_inputs, width, 1, stride)
                projection.sources = (place,)
                shortcut = append(projection, BatchNorm(width, image=True))
                listen(projection)
                stream = []  # a new one begins
            place = append(Add(branch, shortcut), Activation("relu"))
            listed.append(_Listed(second, norm, place))
            stream.append(listed[-1])
            num_inputs = width
    listed[-1].features = append(GlobalAveragePool())
    head = Dense(num_inputs, num_outputs, "identity", "kaiming_normal")
    append(head)
    listen(head)
    hidden = [each.hidden_layer() for each in listed]
    return Graph(layers, hidden, seeds, dtype, (num_channels, image_size, image_size))
