"""Single functions of networks and diagnostics.

The comments of the cases describe arguments and results (catalogue/network_functions.py).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from minilop import diagnostics, initialization, losses
from minilop.plasticity.redo import dormant_units
from minilop.statistics import mean_and_error
from minilop.verify.case import Arrays
from minilop.verify.reference.continual_backprop import UTILITIES
from minilop.verify.reference.one_run import on_device, on_host


def cross_entropy(outputs: np.ndarray, labels: np.ndarray) -> Arrays:
    return loss_and_gradient(losses.cross_entropy, outputs, labels)


def squared_error(outputs: np.ndarray, targets: np.ndarray) -> Arrays:
    return loss_and_gradient(losses.squared_error, outputs, targets)


def half_squared_error(outputs: np.ndarray, targets: np.ndarray) -> Arrays:
    return loss_and_gradient(losses.half_squared_error, outputs, targets)


def loss_and_gradient(loss: losses.Loss, outputs: np.ndarray, targets: np.ndarray) -> Arrays:
    each, gradient = loss(on_device(outputs), on_device(targets))
    return {"loss/losses": on_host(each), "loss/output_gradient": on_host(gradient)}


def initial_weight_scale(fan_in: np.ndarray, fan_out: np.ndarray, scheme: Any) -> Arrays:
    return {
        f"scale/{activation}": np.asarray(initialization.weight_bound(scheme, activation, int(fan_in), int(fan_out)))
        for activation in initialization.GAINS
    }


def utilities(
    features: np.ndarray,
    mean_feature: np.ndarray,
    incoming_weight: np.ndarray,
    outgoing_weight: np.ndarray,
    outgoing: str,
) -> Arrays:
    total = abs(outgoing_weight).sum(axis=0)
    given = [
        abs(features).mean(axis=-1),
        abs(features - mean_feature[:, None]).mean(axis=-1),
        abs(incoming_weight).mean(axis=-1),
        total / len(outgoing_weight) if outgoing == "mean" else total,
    ]
    return {f"utility/{name}": utility(*given) for name, utility in UTILITIES.items()}


def ranks(features: np.ndarray) -> Arrays:
    h = on_device(features)
    return {
        "rank/singular_values": on_host(diagnostics.singular_values(h)),
        "rank/effective_rank": on_host(diagnostics.effective_rank(h)),
        "rank/stable_rank": on_host(diagnostics.stable_rank(h)).astype(int),
        "rank/approximate_rank": on_host(diagnostics.approximate_rank(h)).astype(int),
    }


def silent_units(features: np.ndarray, dormant_threshold: float) -> Arrays:
    h = on_device(features)
    return {
        "share/dead_units": on_host(diagnostics.dead_unit_fraction(h)),
        "share/dormant_units": on_host(diagnostics.dormant_unit_fraction(h, dormant_threshold)),
    }


def redo_dormant_units(activity: np.ndarray, redo_threshold: float) -> Arrays:
    return {"selection/dormant": on_host(dormant_units(on_device(activity), redo_threshold))}


def weight_magnitude(**weights: np.ndarray) -> Arrays:
    return {"magnitude/weight_magnitude": on_host(diagnostics.weight_magnitude(map(on_device, weights.values())))}


def learning_curve(errors: np.ndarray, bin_size: int) -> Arrays:
    bins = errors.reshape(len(errors), -1, bin_size).mean(axis=-1)
    mean, standard_error = mean_and_error(bins)
    return {"curve/bins": bins, "curve/mean": mean, "curve/standard_error": standard_error}


# --- margins of choices, by kind --------------------------------------------------------------------------------------


def margins_of_ranks(features: np.ndarray) -> dict[str, float]:
    values = np.linalg.svd(features, compute_uv=False)
    if not values.any():
        return {}
    shares = {"stable_rank": values, "approximate_rank": values**2}
    return {name: float(abs(np.cumsum(each)[:-1] / each.sum() - 0.99).min() / 0.99) for name, each in shares.items()}


def margins_of_silence(features: np.ndarray, dormant_threshold: float) -> dict[str, float]:
    active = (features != 0).mean(axis=-1)
    return {"dormant_units": float(abs(active / dormant_threshold - 1).min())}


def margins_of_redo(activity: np.ndarray, redo_threshold: float) -> dict[str, float]:
    return {"dormant": float(abs(activity / (redo_threshold * activity.mean()) - 1).min())}


FUNCTIONS = (
    squared_error,
    half_squared_error,
    cross_entropy,
    initial_weight_scale,
    utilities,
    ranks,
    silent_units,
    redo_dormant_units,
    weight_magnitude,
    learning_curve,
)
MARGINS: dict[str, Callable[..., dict[str, float]]] = {
    "ranks": margins_of_ranks,
    "silent_units": margins_of_silence,
    "redo_dormant_units": margins_of_redo,
}
