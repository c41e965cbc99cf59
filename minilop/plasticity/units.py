"""What rules that replace units share: the size of their weights, their activity, and the replacement itself.

Units to replace are named by two index arrays of equal length, `runs` and `units`, as NumPy's own indexing does.
"""

from typing import Literal

import numpy as np

from minilop.backend import Array, blocks, xp
from minilop.networks import HiddenLayer, Network
from minilop.optimizers.optimizer import Optimizer


def batch_mean(values: Array) -> Array:
    """Mean over the mini-batch, (..., B) to (...); for one example nothing needs to be summed."""
    return values[..., 0] if values.shape[-1] == 1 else values.mean(axis=-1)


def unit_mean(values: Array, num_units: int) -> Array:
    """Mean over the features of each unit, (R, F) to (R, H); most units have one."""
    if values.shape[-1] == num_units:
        return values
    return values.reshape(values.shape[:-1] + (num_units, -1)).mean(axis=-1)


def repeat(values: Array, num_features: int) -> Array:
    """Each unit's value for each of its features, (R, H) to (R, F)."""
    times = num_features // values.shape[-1]
    return values if times == 1 else xp.repeat(values, times, axis=-1)


def weight_magnitudes(weight: Array, incoming: bool, outgoing: bool) -> tuple[Array, Array]:
    """Sums of the absolute weights (R, O, I, ...): of each row, (R, O), and of each column, (R, I); None where not asked.

    Both come from one pass over the weight, a block of rows at a time, because a wide layer's weight is read from
    memory more slowly than it is summed.
    """
    if weight.ndim > 3:  # kernels: a column is all that leaves a channel
        magnitude = abs(weight).sum(axis=(-1, -2))
        return magnitude.sum(axis=-1) if incoming else None, magnitude.sum(axis=-2) if outgoing else None
    row_sums, column_sums = [], []
    for rows in blocks(weight.shape[-2], weight.shape[-2] * weight.shape[-1]):
        magnitude = abs(weight[..., rows, :])
        if incoming:
            row_sums.append(magnitude.sum(axis=-1))
        if outgoing:
            column_sums.append(magnitude.sum(axis=-2))
    joined = row_sums[0] if len(row_sums) == 1 else xp.concatenate(row_sums, axis=-1) if incoming else None
    return joined, sum(column_sums[1:], column_sums[0]) if outgoing else None


def replace_units(
    layer: HiddenLayer,
    runs: Array,
    units: Array,
    seeds: np.ndarray,
    step: int,
    fresh_weights: Literal["initial", "normal"] = "initial",
    cut_shortcuts: bool = False,
) -> None:
    """Give units new incoming weights and no outgoing ones.

    runs, units     (K,)   which
    seeds           (K,)   of these runs
    fresh_weights   "initial": the law of the layer's initialization; "normal": variance 2 / fan_in
    cut_shortcuts   leave no weights either where shortcuts carry the features

    A unit's fresh weights are named by run, layer, step and unit, whichever others are replaced with it.
    """
    draw = layer.incoming.initial_rows if fresh_weights == "initial" else layer.incoming.normal_rows
    layer.incoming.weight[runs, units] = draw(seeds, units, "fresh weight", step)  # (K, I)
    layer.bias.bias[runs, units] = 0
    if layer.normalization:
        layer.normalization.reset((runs, units))
    for reader in layer.readers(cut_shortcuts):
        layer.outgoing_weight(reader.weight)[runs, :, units] = 0


def reset_optimizer_state(
    optimizer: Optimizer,
    network: Network,
    layer: HiddenLayer,
    runs: Array,
    units: Array,
    cut_shortcuts: bool = False,
) -> None:
    """Forget momentum and moments of every weight that enters or leaves a replaced unit; not what whole layers share."""
    for array in optimizer.state.values():
        if array.shape != network.parameters.shape:
            continue
        views = network.views(array)
        views[layer.incoming.index]["weight"][runs, units] = 0
        for of_units in filter(None, (layer.bias, layer.normalization)):
            for name in ("scale", "bias"):
                if name in views[of_units.index]:
                    views[of_units.index][name][runs, units] = 0
        for reader in layer.readers(cut_shortcuts):
            layer.outgoing_weight(views[reader.index]["weight"])[runs, :, units] = 0
