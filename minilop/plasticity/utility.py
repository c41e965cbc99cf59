"""Utility of the units of a hidden layer: line 2 of Continual Backprop and its variants.

O is the sum or the mean of the magnitudes of a unit's outgoing weights, I the mean magnitude of its incoming weights, h
its feature, f the running mean of its feature, and f^ = f / (1 - eta^a). |.| is averaged over the mini-batch.

    contribution             u <- eta u + (1 - eta) O |h|                  ranked by u, or by u / (1 - eta^a)
    adaptable_contribution   f <- eta f + (1 - eta) h
                             u <- eta u + (1 - eta) O |h - f^| / I         the same
    lifetime_activity        u <- u + (1 - eta) |h|, never reset           ranked by O u
    random                                                                 ranked by a new uniform number

The paper describes the contribution (Dohare et al., 2024, eq. 1). The other variants are from its published code.
"""

import math
from collections.abc import Callable
from typing import Any

from minilop import draws
from minilop.backend import Array
from minilop.networks import HiddenLayer
from minilop.plasticity.units import batch_mean, repeat, unit_mean, update_average

Units = dict[str, Array]


def outgoing_magnitude(layer: HiddenLayer, outgoing: str) -> Array:
    """O of every feature, (R, F): the sum or the mean of its absolute outgoing weights."""
    consumer = layer.outgoing
    magnitude = abs(consumer.weight)  # (R, O, F), or kernels (R, O, C, k, k)
    if magnitude.ndim > 3:
        magnitude = magnitude.sum(axis=(-1, -2))
    total = magnitude.sum(axis=-2)
    return total / (consumer.num_outputs * math.prod(consumer.row_shape[1:])) if outgoing == "mean" else total


def incoming_magnitude(layer: HiddenLayer) -> Array:
    """I of every unit, (R, H): the mean of its absolute incoming weights."""
    magnitude = abs(layer.incoming.weight)
    if magnitude.ndim > 3:
        magnitude = magnitude.sum(axis=(-1, -2))
    return magnitude.sum(axis=-1) / layer.incoming.num_inputs


def contribution(rule: Any, layer: HiddenLayer, units: Units, features: Array) -> None:
    """Update u; features (R, F, B). If a unit has several features, its contribution is their mean contribution."""
    contributions = outgoing_magnitude(layer, rule.outgoing) * batch_mean(abs(features))  # (R, F)
    update_average(units["utility"], unit_mean(contributions, units["age"].shape[-1]), rule.decay_rate)


def adaptable_contribution(rule: Any, layer: HiddenLayer, units: Units, features: Array) -> None:
    """Update f and u."""
    num_features, num_units = features.shape[-2], units["age"].shape[-1]
    update_average(units["mean_feature"], unit_mean(batch_mean(features), num_units), rule.decay_rate)
    mean_feature = repeat(units["mean_feature"] / units["correction"], num_features)  # (R, F)
    variation = batch_mean(abs(features - mean_feature[..., None]))
    incoming = repeat(incoming_magnitude(layer), num_features)
    contributions = outgoing_magnitude(layer, rule.outgoing) * variation / incoming
    update_average(units["utility"], unit_mean(contributions, num_units), rule.decay_rate)


def lifetime_activity(rule: Any, layer: HiddenLayer, units: Units, features: Array) -> None:
    """Update u."""
    units["utility"] += (1 - rule.decay_rate) * unit_mean(batch_mean(abs(features)), units["age"].shape[-1])


def average(rule: Any, layer: HiddenLayer, units: Units, step: int) -> Array:
    """The values by which units are ranked, (R, H): u, with or without bias correction."""
    return units["utility"] / units["correction"] if rule.bias_correction else units["utility"]


def outgoing_times_activity(rule: Any, layer: HiddenLayer, units: Units, step: int) -> Array:
    """The values by which units are ranked, (R, H): O u."""
    return unit_mean(outgoing_magnitude(layer, rule.outgoing), units["age"].shape[-1]) * units["utility"]


def random(rule: Any, layer: HiddenLayer, units: Units, step: int) -> Array:
    """A new uniform number for each unit, (R, H)."""
    network, incoming = rule.network, layer.incoming
    return draws.uniform(
        network.seeds, "random utility", incoming.num_outputs, layer=incoming.number, step=step, dtype=network.dtype
    )


# The functions that update the utility and return the values to rank by, for each `utility` and `average` of the rule.
UTILITIES: dict[tuple[str, str], tuple[Callable[..., None], Callable[..., Array]]] = {
    ("contribution", "utility"): (contribution, average),
    ("adaptable_contribution", "utility"): (adaptable_contribution, average),
    ("random", "utility"): (lambda *_: None, random),
    ("contribution", "lifetime_activity"): (lifetime_activity, outgoing_times_activity),
}

# The state of a unit that is set to 0 when it is replaced. The published code keeps the lifetime activity.
RESET_AT_REPLACEMENT = {
    "utility": ("age", "utility", "mean_feature", "correction"),
    "lifetime_activity": ("age", "mean_feature", "correction"),
}
