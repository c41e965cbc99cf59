"""The networks of the cases as modules: batch first, as PyTorch wants it."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

ACTIVATIONS = {
    "relu": torch.relu,
    "leaky_relu": functional.leaky_relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "elu": functional.elu,
    "swish": functional.silu,
    "identity": lambda values: values,
}


@dataclass
class Hidden:
    """Where the units of a hidden layer are.

    number          of the layer, among those with weights
    incoming        what makes the units
    readers         what reads their features: the next layer, then those to which shortcuts lead
    normalization   between incoming layer and activation, or None
    """

    number: int
    incoming: nn.Module
    readers: list[nn.Module]
    normalization: nn.Module | None = None

    @property
    def num_units(self):
        return self.incoming.weight.shape[0]

    def outgoing(self, weight):
        """The outgoing weight, or an array like it, by unit: (O, H, ...)."""
        return weight.view(weight.shape[0], self.num_units, -1)


class Network(nn.Module):
    """What the networks share: `weighted`, the layers with weights in order, with a normalization or None each."""

    def __init__(self):
        super().__init__()
        self.weighted = nn.ModuleList()
        self.normalizations = nn.ModuleList()
        self.hidden = []

    def add(self, layer, normalization=None):
        self.weighted.append(layer)
        self.normalizations.append(normalization if normalization is not None else nn.Identity())
        return layer

    def normalization(self, number):
        found = self.normalizations[number]
        return None if isinstance(found, nn.Identity) else found

    def list_hidden(self):
        """For a plain sequence of layers: each is read by the next."""
        for number in range(len(self.weighted) - 1):
            self.hidden.append(Hidden(number, self.weighted[number], [self.weighted[number + 1]]))

    def names(self):
        """Parameters by the names of the kit, layer after layer."""
        found = {}
        for number, layer in enumerate(self.weighted):
            found[f"weight/{number}"] = layer.weight
            found[f"bias/{number}"] = layer.bias
            if self.normalization(number) is not None:
                found[f"normalization_scale/{number}"] = self.normalization(number).weight
                found[f"normalization_bias/{number}"] = self.normalization(number).bias
        return found

    def statistics(self):
        """Running statistics by the names of the kit."""
        found = {}
        for number in range(len(self.weighted)):
            if self.normalization(number) is not None:
                found[f"running_mean/{number}"] = self.normalization(number).running_mean
                found[f"running_variance/{number}"] = self.normalization(number).running_var
        return found


class MLP(Network):
    """Dense layers, an activation after each but the last."""

    def __init__(self, sizes, activation):
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        for num_inputs, num_outputs in pairwise(sizes):
            self.add(nn.Linear(num_inputs, num_outputs))
        self.list_hidden()

    def forward(self, x):
        features, self.sources = [], [x]  # what each layer reads
        for number, layer in enumerate(self.weighted):
            x = layer(x)
            if number < len(self.weighted) - 1:
                x = self.activation(x)
                features.append(x)
                self.sources.append(x)
        return x, features


class ConvNet(Network):
    """Convolutions, each with an activation and 2 x 2 max-pooling, then dense layers."""

    def __init__(self, image, kernels, dense_units, num_outputs, activation):
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        channels, size = image[0], image[-1]
        for number, kernel_size in kernels:
            self.add(nn.Conv2d(channels, number, kernel_size))
            channels, size = number, (size - kernel_size + 1) // 2
        num_inputs = channels * size * size
        for number in dense_units:
            self.add(nn.Linear(num_inputs, number))
            num_inputs = number
        self.add(nn.Linear(num_inputs, num_outputs))
        self.num_convolutions = len(kernels)
        self.list_hidden()

    def forward(self, x):
        features = []
        for number, layer in enumerate(self.weighted):
            if number == self.num_convolutions:
                x = x.flatten(1)
                features[-1] = x
            x = layer(x)
            if number == len(self.weighted) - 1:
                break
            x = self.activation(x)
            if number < self.num_convolutions:
                x = functional.max_pool2d(x, 2)
            features.append(x)
        return x, features


class ResNet(Network):
    """Stem, stages of residual blocks, mean over places, head; every convolution has a bias and a normalization."""

    def __init__(self, channels, widths, blocks, num_outputs):
        super().__init__()

        def convolution(num_inputs, num_outputs, size, stride):
            layer = nn.Conv2d(num_inputs, num_outputs, size, stride, padding=size // 2)
            self.add(layer, nn.BatchNorm2d(num_outputs))
            return len(self.weighted) - 1

        def listed(number, readers):
            self.hidden.append(Hidden(number, self.weighted[number], readers, self.normalization(number)))
            return self.hidden[-1]

        stem = convolution(channels, widths[0], 3, 1)
        stream = [listed(stem, [])]  # the hidden layers whose features are part of what the present stage carries along
        self.blocks = []  # of each, the numbers of its convolutions; that of the shortcut may be None
        num_inputs = widths[0]
        for stage, (width, num_blocks) in enumerate(zip(widths, blocks)):
            for block in range(num_blocks):
                stride = 2 if stage and not block else 1
                first = convolution(num_inputs, width, 3, stride)
                second = convolution(width, width, 3, 1)
                shortcut = convolution(num_inputs, width, 1, stride) if stride == 2 else None
                readers = [first] if shortcut is None else [first, shortcut]
                for each in stream:
                    each.readers += [self.weighted[number] for number in readers]
                listed(first, [self.weighted[second]])
                if shortcut is not None:
                    stream = []
                stream.append(listed(second, []))
                self.blocks.append((first, second, shortcut))
                num_inputs = width
        head = self.add(nn.Linear(num_inputs, num_outputs))
        for each in stream:
            each.readers.append(head)

    def forward(self, x):
        def normalized(number, x):
            return self.normalizations[number](self.weighted[number](x))

        x = torch.relu(normalized(0, x))
        features = [x]
        for first, second, shortcut in self.blocks:
            inside = torch.relu(normalized(first, x))
            branch = normalized(second, inside)
            x = torch.relu(branch + (x if shortcut is None else normalized(shortcut, x)))
            features += [inside, x]
        x = x.mean(dim=(-1, -2))
        features[-1] = x
        return self.weighted[-1](x), features


GAINS = {"tanh": 5 / 3, "relu": math.sqrt(2), "leaky_relu": math.sqrt(2 / (1 + 0.01**2)), "elu": math.sqrt(2)}
GAINS.update({"swish": math.sqrt(2), "sigmoid": 1.0, "identity": 1.0})


def initial_scale(scheme, activation, fan_in, fan_out):
    """Bound of the uniform law, or standard deviation of the normal one."""
    gain = GAINS[activation]
    return {
        "kaiming": gain * math.sqrt(3 / fan_in),
        "lecun": math.sqrt(3 / fan_in),
        "xavier": gain * math.sqrt(6 / (fan_in + fan_out)),
        "default": math.sqrt(1 / fan_in),
        "kaiming_normal": gain * math.sqrt(1 / fan_in),
    }[scheme]
