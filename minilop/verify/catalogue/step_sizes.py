"""Network IDBD and MetaOptimize, which learn step sizes."""

from collections.abc import Mapping
from typing import Any

from minilop.verify.catalogue.continual_backprop import CONTINUAL_BACKPROP
from minilop.verify.catalogue.description import Description
from minilop.verify.catalogue.gradient_descent import learner
from minilop.verify.catalogue.sizes import mlp

TINY = mlp(2, 3, 1, batch=1)
OF_TWO = mlp(2, 3, 1, batch=2)
NETWORK_IDBD = {
    "loss": "half_squared_error",
    "activation": "tanh",
    "optimizer": "network_idbd",
    "step_size": 0.2,
    "meta_step_size": 0.05,
    "tau": 100.0,
    "curvature": "layer_local",
    "overshoot_limit": 1.0,
    "normalized": True,
}
METAOPTIMIZE = {
    "loss": "squared_error",
    "activation": "relu",
    "optimizer": "metaoptimize",
    "step_size": 0.02,
    "meta_step_size": 0.02,
    "base": "sgd",
    "meta": "sgd",
    "step_sizes": "scalar",
    "trace_decay": 0.9,
    "weight_decay": 0.0,
    "order": "meta_last",
}


def idbd(
    name: str, comment: str, changes: Mapping[str, Any], seed: int, sizes: Mapping[str, Any] = TINY
) -> Description:
    """A case of network IDBD, given its differences from the base settings."""
    return learner(f"network_idbd/{name}", comment, {**NETWORK_IDBD, **changes}, sizes, seed)


def metaoptimize(
    name: str, comment: str, changes: Mapping[str, Any], seed: int, sizes: Mapping[str, Any] = OF_TWO
) -> Description:
    """A case of MetaOptimize, given its differences from the base settings."""
    return learner(f"metaoptimize/{name}", comment, {**METAOPTIMIZE, **changes}, sizes, seed)


DESCRIPTIONS = [
    idbd("layer_local", "The plainest curvature: the square of what enters a weight.", {}, 1),
    idbd("two_outputs", "The same with two outputs.", {}, 2, sizes=mlp(2, 3, 2, batch=1)),
    idbd(
        "gauss_newton_diagonal",
        "How much the output moves with a weight, squared.",
        {"curvature": "gauss_newton_diagonal"},
        3,
        sizes=mlp(2, 3, 2, batch=1),
    ),
    idbd(
        "gauss_newton",
        "With all cross terms between weights.",
        {"curvature": "gauss_newton"},
        4,
        sizes=mlp(2, 3, 2, batch=1),
    ),
    idbd(
        "unnormalized",
        "Neither normalizer nor bound: for a linear network this is IDBD.",
        {"normalized": False, "overshoot_limit": 0.0, "step_size": 0.02},
        5,
    ),
    idbd(
        "linear",
        "A linear network: Autostep with its bound as transient.",
        {"step_size": 0.2},
        6,
        sizes={"network": "linear", "layers": (4, 1), "batch": 1},
    ),
    idbd(
        "unbounded",
        "No bound on overshoot, and step sizes so large that traces are cut at 0.",
        {"overshoot_limit": 0.0, "step_size": 0.15},
        7,
    ),
    metaoptimize("sgd_sgd", "SGD as base and meta rule, one step size for all weights.", {}, 10),
    metaoptimize(
        "momentum_sgd", "Momentum as base rule, one step size a layer.", {"base": "momentum", "step_sizes": "layer"}, 11
    ),
    metaoptimize(
        "adam_adam",
        "Adam as base and meta rule, one step size for all weights.",
        {"base": "adam", "meta": "adam"},
        1540,
    ),
    metaoptimize(
        "adam_lion",
        "Adam as base and Lion as meta rule, one step size a layer.",
        {"base": "adam", "meta": "lion", "step_sizes": "layer"},
        1576,
    ),
    metaoptimize(
        "lion_adam",
        "Lion as base and Adam as meta rule, one step size a weight.",
        {"base": "lion", "meta": "adam", "step_sizes": "weight"},
        1616,
        sizes=mlp(2, 2, 1, batch=2),
    ),
    metaoptimize(
        "meta_first",
        "Step sizes are adapted before they are used.",
        {"order": "meta_first", "step_sizes": "weight"},
        1612,
    ),
    metaoptimize(
        "weight_decay", "With weight decay, decoupled from the gradient.", {"weight_decay": 0.1, "base": "adam"}, 1626
    ),
    learner(
        "continual_backprop/network_idbd",
        "With network IDBD, which begins anew for the weights of a replaced unit: their step sizes are the initial "
        "ones.",
        {**CONTINUAL_BACKPROP, **NETWORK_IDBD, "reset_optimizer_state": True},
        mlp(2, 4, 1, batch=1),
        17,
    ),
]
