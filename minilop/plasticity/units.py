"""Functions for rules that replace units: averages over features, the choice of units, and the replacement itself.

Two index arrays of equal length, `runs` (on the host) and `units`, specify the units to replace.
"""

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np

from minilop.backend import Array, xp
from minilop.networks import HiddenLayer, Network
from minilop.optimizers.optimizer import Optimizer


def new_units(network: Network) -> list[dict[str, Array]]:
    """The state of new units, a dictionary for each hidden layer.

    age, utility, mean_feature   (R, H)
    correction                   (R, H)   1 - eta^age, the running average of ones
    units_to_replace             (R,)     in float64, on the host
    """
    names = ("age", "utility", "mean_feature", "correction")
    sizes = [layer.incoming.num_outputs for layer in network.hidden]
    return [
        {name: network.zeros(size) for name in names} | {"units_to_replace": np.zeros(len(network.seeds))}
        for size in sizes
    ]


def flat(units: list[dict[str, Array]]) -> dict[str, Array]:
    """All arrays of the units, under the names "<name>.<hidden layer>"."""
    return {f"{name}.{index}": array for index, arrays in enumerate(units) for name, array in arrays.items()}


def update_average(average: Array, value: Array, decay_rate: float) -> None:
    """average <- eta average + (1 - eta) value, in place."""
    average *= decay_rate
    average += (1 - decay_rate) * value


def batch_mean(values: Array) -> Array:
    """Mean over the mini-batch, (..., B) to (...), without a sum for a single example."""
    return values[..., 0] if values.shape[-1] == 1 else values.mean(axis=-1)


def unit_mean(values: Array, num_units: int) -> Array:
    """Mean over the features of each unit, (R, F) to (R, H); most units have only one feature."""
    if values.shape[-1] == num_units:
        return values
    return values.reshape(values.shape[:-1] + (num_units, -1)).mean(axis=-1)


def repeat(values: Array, num_features: int) -> Array:
    """Each unit's value for each of its features, (R, H) to (R, F)."""
    times = num_features // values.shape[-1]
    return values if times == 1 else xp.repeat(values, times, axis=-1)


def least_useful(utility: Array, eligible: Array, num_to_replace: np.ndarray) -> tuple[np.ndarray, Array]:
    """The eligible units of least utility. Returns their runs and units, (K,) each.

    utility, eligible   (R, H)
    num_to_replace      (R,)     on the host, at most the number of eligible units

    If utilities are equal, the lowest index comes first. An undefined utility, 0 / 0 for a unit with a constant feature
    and without inputs, counts as 0. An infinite utility counts as the largest finite number, because an eligible unit
    must come before all protected units.
    """
    chosen = np.flatnonzero(num_to_replace)  # runs with units to replace
    utility, eligible = utility[chosen], eligible[chosen]
    utility = xp.where(xp.isnan(utility), 0, xp.minimum(utility, xp.finfo(utility.dtype).max))
    order = xp.argsort(xp.where(eligible, utility, xp.inf), axis=-1, kind="stable")
    rows, ranks = np.nonzero(np.arange(order.shape[-1]) < num_to_replace[chosen, None])
    return chosen[rows], order[rows, ranks]


def replace_units(
    layer: HiddenLayer,
    runs: np.ndarray,
    units: Array,
    seeds: np.ndarray,
    step: int,
    fresh_weights: Literal["initial", "normal"] = "initial",
    fresh_rows: Callable[..., Array] | None = None,
) -> None:
    """Give units new incoming weights, a bias of 0, and outgoing weights of 0.

    runs, units     (K,)   which units
    seeds           (K,)   of these runs
    fresh_weights   "initial": the distribution of the layer's initialization; "normal": variance 2 / fan_in
    fresh_rows      replaces the draw in a comparison with another implementation: fresh_rows(layer, runs, units, step)
                    returns the incoming weights, (K, I) or (K, C, k, k)

    The draw is keyed by run, layer, step and unit, so it does not depend on which other units are replaced.
    """
    draw = layer.incoming.initial_rows if fresh_weights == "initial" else layer.incoming.normal_rows
    rows = fresh_rows(layer, runs, units, step) if fresh_rows else draw(seeds, units, "fresh weight", step)
    layer.incoming.weight[runs, units] = rows  # (K, I)
    layer.bias.bias[runs, units] = 0
    if layer.normalization:
        layer.normalization.reset((runs, units))
    layer.outgoing_weight(layer.outgoing.weight)[runs, :, units] = 0


def unit_views(network: Network, layer: HiddenLayer, vector: Array) -> Iterator[Array]:
    """Views (R, H, ...) of `vector` (R, P) for the incoming weights, the biases and the outgoing weights of the units.

    If the units are normalized, there are also views for the scales and biases of the normalization.
    """
    views = network.views(vector)
    yield views[layer.incoming.index]["weight"]
    for part in dict.fromkeys(filter(None, (layer.bias, layer.normalization))):  # the two may be the same layer
        yield from (view for name, view in views[part.index].items() if name in ("scale", "bias"))
    yield layer.outgoing_weight(views[layer.outgoing.index]["weight"]).swapaxes(1, 2)


def reset_optimizer_state(
    optimizer: Optimizer, network: Network, layer: HiddenLayer, runs: np.ndarray, units: Array
) -> None:
    """Set the optimizer's state of all parameters in `unit_views` of replaced units to 0; shared state is kept."""
    for array in optimizer.state.values():
        if array.shape == network.parameters.shape:
            for view in unit_views(network, layer, array):
                view[runs, units] = 0
