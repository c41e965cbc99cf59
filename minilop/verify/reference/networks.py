"""The networks of the cases, and their arrays by name."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minilop.backend import Array, to_host
from minilop.learner import Learner
from minilop.networks import Network
from minilop.recipes import convnet, linear, mlp
from minilop.residual_networks import resnet
from minilop.verify.case import Case
from minilop.verify.reference.settings import ReferenceSettings


def make_network(case: Case, settings: ReferenceSettings) -> Network:
    """The network described by the case's `sizes`, with initial parameters drawn from the case's seed.

    mlp       layers: number of units of each layer, inputs first            initialization "kaiming"
    linear    layers: number of inputs and outputs
    convnet   input_shape (C, Y, X); kernels: number and size for each convolution, each followed by 2 x 2
              max-pooling; dense_units; outputs                              initialization "default"
    resnet    input_shape; widths and blocks of the stages; outputs          initialization "kaiming_normal"
    """
    sizes, seeds = case.sizes, [case.seed]
    if sizes["network"] == "mlp":
        return mlp(sizes["layers"], settings.activation, seeds, settings.dtype)
    if sizes["network"] == "linear":
        return linear(sizes["layers"][:1], sizes["layers"][-1], seeds, settings.dtype)
    channels, height, _ = sizes["input_shape"]
    if sizes["network"] == "convnet":
        return convnet(
            seeds,
            settings.dtype,
            image_size=height,
            num_channels=channels,
            kernels=[(number, size) for number, size in sizes["kernels"]],
            dense_units=sizes["dense_units"],
            num_outputs=sizes["outputs"],
            activation=settings.activation,
        )
    return resnet(
        seeds,
        settings.dtype,
        widths=sizes["widths"],
        blocks=sizes["blocks"],
        image_size=height,
        num_channels=channels,
        num_outputs=sizes["outputs"],
    )


def shapes_of_examples(sizes: Any) -> tuple[tuple[int, ...], int]:
    """The shape of a mini-batch of inputs, and the number of outputs."""
    shape: Sequence[int] = sizes["layers"][:1] if "layers" in sizes else sizes["input_shape"]
    return (*shape, sizes["batch"]), sizes["layers"][-1] if "layers" in sizes else sizes["outputs"]


def named(network: Network, vector: Array, prefix: str = "") -> Iterator[tuple[str, Array]]:
    """Views (1, ...) into `vector` (1, P), by "<prefix><parameter>/<layer>"."""
    yield from ((f"{prefix}{name}", view) for name, view in network.named(vector).items())


def running_statistics(network: Network) -> Iterator[tuple[str, Array]]:
    """The running statistics of normalizations by "<name>/<layer>", as views (1, H, ...)."""
    for layer in network.layers:
        for name, array in layer.buffers().items():
            yield f"{name}/{layer.number}", array


def optimizer_arrays(learner: Learner) -> Iterator[tuple[str, Array]]:
    """The optimizer's state: per-weight arrays by "<name>_<parameter>/<layer>", shared arrays by name."""
    for state, array in learner.optimizer.state.items():
        if array.shape == learner.network.parameters.shape:
            yield from named(learner.network, array, f"{state}_")
        else:
            yield state, array


def state_arrays(learner: Learner) -> Iterator[tuple[str, Array]]:
    """The arrays (1, ...) of a network and its optimizer by name, as views."""
    yield from named(learner.network, learner.network.parameters)
    yield from running_statistics(learner.network)
    yield from optimizer_arrays(learner)


def of_one_run(name: str, array: Array) -> np.ndarray:
    """A copy on the host without the runs axis; quantities of units become (H,)."""
    host = to_host(array)[0].copy()
    return host if "weight" in name else host.reshape(-1)
