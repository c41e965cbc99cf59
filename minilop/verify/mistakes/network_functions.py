"""Mistakes in single functions of networks and in diagnostics."""

from typing import Any

import numpy as np

from minilop.initialization import GAINS
from minilop.verify.case import Arrays
from minilop.verify.mistakes.functions import changed_arguments, changed_results, mistake, with_changed_results

LOSSES = ("squared_error", "half_squared_error", "cross_entropy")

# --- losses and initial weights ---------------------------------------------------------------------------------------


def mean_over_outputs(found: Arrays, outputs: np.ndarray, targets: np.ndarray) -> Arrays:
    return {name: array / len(outputs) for name, array in found.items()}


def gradient_of_the_sum(found: Arrays, outputs: np.ndarray, **_: Any) -> Arrays:
    return {"loss/output_gradient": found["loss/output_gradient"] * outputs.shape[-1]}


def without_gain(found: Arrays, **_: Any) -> Arrays:
    return {name: scale / GAINS[name.split("/")[1]] for name, scale in found.items()}


def deviation_as_bound(found: Arrays, **_: Any) -> Arrays:
    return {name: scale / np.sqrt(3) for name, scale in found.items()}


# --- units and ranks --------------------------------------------------------------------------------------------------


def utilities_of_signed_features(found: Arrays, features: np.ndarray, mean_feature: np.ndarray, **_: Any) -> Arrays:
    """|mean h| instead of mean |h|, and likewise for h - f."""
    plain = abs(features.mean(axis=-1)) / abs(features).mean(axis=-1)
    centered = features - mean_feature[:, None]
    centered = abs(centered.mean(axis=-1)) / abs(centered).mean(axis=-1)
    factors = {"zero_contribution": centered, "adaptable_contribution": centered, "feature_by_input": centered}
    factors["contribution"] = plain
    return {f"utility/{name}": found[f"utility/{name}"] * factor for name, factor in factors.items()}


def other_outgoing(outgoing: str, **_: Any) -> dict[str, Any]:
    return {"outgoing": "sum" if outgoing == "mean" else "mean"}


def shares(values: np.ndarray) -> np.ndarray:
    return values / max(values.sum(), np.finfo(float).tiny)


def entropy(values: np.ndarray) -> float:
    """The entropy of the normalized values, in nats."""
    some = shares(values)[values > 0]
    return float(-(some * np.log(some)).sum())


def stable_rank_of_squares(found: Arrays, **_: Any) -> Arrays:
    missing = np.cumsum(shares(found["rank/singular_values"] ** 2)) <= 0.99
    return {"rank/stable_rank": np.asarray(0 if missing.all() else missing.sum() + 1)}


def stable_rank_of_norms(found: Arrays, **_: Any) -> Arrays:
    squares = found["rank/singular_values"] ** 2
    return {"rank/stable_rank": squares.sum() / max(squares[0], np.finfo(float).tiny)}


def effective_rank_in_bits(found: Arrays, **_: Any) -> Arrays:
    return {"rank/effective_rank": np.exp(entropy(found["rank/singular_values"]) / np.log(2))}


def effective_rank_of_squares(found: Arrays, **_: Any) -> Arrays:
    return {"rank/effective_rank": np.exp(entropy(found["rank/singular_values"] ** 2))}


def dormant_by_mean_activity(found: Arrays, features: np.ndarray, dormant_threshold: float) -> Arrays:
    activity = abs(features).mean(axis=-1)
    return {"share/dormant_units": (activity < dormant_threshold * activity.mean()).mean()}


def absolute_threshold(found: Arrays, activity: np.ndarray, redo_threshold: float) -> Arrays:
    return {"selection/dormant": activity <= redo_threshold}


def mean_of_layers(found: Arrays, **weights: np.ndarray) -> Arrays:
    return {"magnitude/weight_magnitude": np.mean([abs(weight).mean() for weight in weights.values()])}


def by_number_of_runs(found: Arrays, errors: np.ndarray, bin_size: int) -> Arrays:
    return {"curve/standard_error": found["curve/standard_error"] * np.sqrt((len(errors) - 1) / len(errors))}


def deviation_as_error(found: Arrays, errors: np.ndarray, bin_size: int) -> Arrays:
    return {"curve/standard_error": found["curve/standard_error"] * np.sqrt(len(errors))}


MISTAKES = [
    mistake(
        "loss_mean_over_outputs",
        "The squared error is averaged over the outputs; it must be summed over them.",
        "losses",
        {name: with_changed_results(name, mean_over_outputs) for name in LOSSES[:2]},
    ),
    mistake(
        "loss_gradient_of_the_sum",
        "The gradient is that of the summed loss; it must be the gradient of the mean loss over the mini-batch.",
        "losses",
        {name: with_changed_results(name, gradient_of_the_sum) for name in LOSSES},
    ),
    mistake(
        "gain_left_out",
        "Initial weights are not scaled by the gain of the activation, sqrt(2) for the relu.",
        "initialization",
        changed_results("initial_weight_scale", without_gain),
        lambda case: case.settings["scheme"] in ("kaiming", "xavier", "kaiming_normal"),
    ),
    mistake(
        "kaiming_deviation_as_bound",
        "The standard deviation is used as the bound of the uniform distribution; the bound is sqrt(3) times as large.",
        "initialization",
        changed_results("initial_weight_scale", deviation_as_bound),
        lambda case: case.settings["scheme"] in ("kaiming", "lecun", "xavier"),
    ),
    mistake(
        "xavier_of_inputs_alone",
        "The bound uses only the number of inputs; the scheme xavier uses the numbers of inputs and outputs.",
        "initialization",
        {"initial_weight_scale": changed_arguments("initial_weight_scale", lambda fan_in, **_: {"fan_out": fan_in})},
        lambda case: case.settings["scheme"] == "xavier",
    ),
    mistake(
        "utility_of_signed_features",
        "The magnitude of the mean feature is used; it must be the mean over the mini-batch of the magnitudes.",
        "plasticity/utility",
        changed_results("utilities", utilities_of_signed_features),
    ),
    mistake(
        "utility_other_outgoing",
        "The outgoing magnitude is the mean where the case requires the sum, or the sum where it requires the mean.",
        "plasticity/utility",
        {"utilities": changed_arguments("utilities", other_outgoing)},
    ),
    mistake(
        "squared_stable_rank",
        "The stable rank uses squared singular values; it must be the fewest values that make up 99 % of their sum.",
        "diagnostics",
        changed_results("ranks", stable_rank_of_squares),
    ),
    mistake(
        "stable_rank_of_norms",
        "The stable rank is the ratio of squared norms; it must be the fewest singular values that make up 99 % of "
        "their sum.",
        "diagnostics",
        changed_results("ranks", stable_rank_of_norms),
    ),
    mistake(
        "effective_rank_in_bits",
        "The effective rank is exp of an entropy in bits; the entropy must use the natural logarithm.",
        "diagnostics",
        changed_results("ranks", effective_rank_in_bits),
    ),
    mistake(
        "effective_rank_of_squares",
        "The effective rank uses squared singular values; it must use the singular values themselves.",
        "diagnostics",
        changed_results("ranks", effective_rank_of_squares),
    ),
    mistake(
        "dormant_by_mean_activity",
        "A unit counts as dormant if its mean activity is small; it is dormant if it is active on few examples, "
        "however strongly.",
        "diagnostics",
        changed_results("silent_units", dormant_by_mean_activity),
    ),
    mistake(
        "redo_absolute_threshold",
        "The activity of a unit is compared with the threshold directly; it must be divided by its layer's mean first.",
        "plasticity/redo",
        changed_results("redo_dormant_units", absolute_threshold),
    ),
    mistake(
        "weight_magnitude_mean_of_layers",
        "The mean magnitudes of the layers are averaged; the mean must be taken over all weights together.",
        "diagnostics",
        changed_results("weight_magnitude", mean_of_layers),
    ),
    mistake(
        "standard_error_by_number_of_runs",
        "The standard error divides the sum of squares by the number of runs R; it must divide by R - 1.",
        "experiment/figures",
        changed_results("learning_curve", by_number_of_runs),
    ),
    mistake(
        "standard_deviation_as_error",
        "The standard deviation over runs is returned; the standard error divides it by the square root of their "
        "number.",
        "experiment/figures",
        changed_results("learning_curve", deviation_as_error),
    ),
]
