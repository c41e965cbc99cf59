"""What the conventions of a case mean, each in a sentence; the files of minilop say it in full."""

from typing import Any

MEANINGS: dict[tuple[str, Any], str] = {
    (
        "loss",
        "squared_error",
    ): "sum over outputs of (output - y)^2, no factor 1/2; its gradient is of the mean over examples",
    ("loss", "half_squared_error"): "half the squared error",
    ("loss", "cross_entropy"): "of softmax(outputs); y holds labels",
    ("utility", "contribution"): "outgoing |W| times mean |h|",
    ("utility", "weight"): "outgoing |W| alone",
    ("utility", "adaptation"): "1 / mean incoming |W|",
    ("utility", "zero_contribution"): "outgoing |W| times mean |h - centre|",
    ("utility", "adaptable_contribution"): "outgoing |W| times mean |h - centre| / mean incoming |W|",
    ("utility", "feature_by_input"): "mean |h - centre| / mean incoming |W|",
    ("utility", "random"): "draws/random_utility ranks the units; average and bias_correction have no say",
    ("outgoing", "sum"): "outgoing |W| is a sum over consumers",
    ("outgoing", "mean"): "outgoing |W| is a mean over consumers",
    ("average", "utility"): "u <- eta u + (1 - eta) (what the unit is worth now)",
    (
        "average",
        "lifetime_activity",
    ): "u <- u + (1 - eta) mean |h|, never reset; contribution is outgoing |W| times u, weight is |W| alone",
    ("centre", "updated"): "of features: the running mean with this mini-batch, / (1 - eta^age)",
    ("centre", "previous"): "of features: the running mean without this mini-batch, / (1 - eta^(present age))",
    ("bias_correction", True): "units are ranked by u / (1 - eta^age)",
    ("bias_correction", False): "units are ranked by u itself",
    ("rate_counts", "eligible"): "due per step: replacement_rate times the units with age > maturity_threshold",
    ("rate_counts", "all"): "due per step: replacement_rate times all units, as soon as one is eligible",
    ("rounding", "accumulate"): "floor of what has come due is replaced, the fraction stays due",
    ("rounding", "single"): "one unit where more than 1 is due, which then is 1 less",
    ("rounding", "chance"): "one unit where draws/replacement_coin is below what is due; its whole part from 1 on",
    (
        "initialization",
        "kaiming",
    ): "fresh weights: bound (2 u - 1) with bound = gain sqrt(3 / fan_in); gain sqrt(2) for relu",
    ("initialization", "default"): "fresh weights: bound (2 u - 1) with bound = sqrt(1 / fan_in); fresh biases are 0",
    ("initialization", "kaiming_normal"): "fresh weights: gain sqrt(1 / fan_in) times normal numbers",
    ("fresh_weights", "initial"): "by the law of the initialization",
    ("fresh_weights", "normal"): "sqrt(2 / fan_in) times normal numbers, whatever the initialization",
    ("transfer_bias", True): "consumers' biases get outgoing W times the unit's updated mean feature / (1 - eta^age)",
    ("reset_optimizer_state", True): "of all weights that enter or leave a replaced unit, and its bias",
    ("reset_optimizer_state", False): "momentum and moments stay as they are",
    ("when", "after_update"): "units are judged by the weights after the optimizer's step",
    ("when", "before_update"): "units are judged and replaced first; then the optimizer uses the old gradients",
    ("shortcuts", "ignored"): "a channel is consumed by the next convolution alone",
    ("shortcuts", "cut"): "a channel is consumed by all that shortcuts carry it to, and cut off from all",
    ("curvature", "layer_local"): "c = x^2 of a weight's source, 1 for biases",
    ("curvature", "gauss_newton_diagonal"): "c = s^2",
    ("curvature", "gauss_newton"): "line 6 with the whole product s (s . h); c = s^2 in line 2",
    ("normalized", False): "line 3 adds mu m, without v",
    ("redo_scores", "mini_batch"): "activity is that of this mini-batch",
    ("redo_scores", "period"): "activity is the sum over steps since the last replacement",
    ("step_sizes", "scalar"): "one for the network",
    ("step_sizes", "layer"): "one a layer, its bias included",
    ("step_sizes", "weight"): "one a weight",
    ("order", "meta_last"): "step sizes change after the weights",
    ("order", "meta_first"): "step sizes change before the weights",
    ("bound", "permanent"): "stored step sizes are divided by M",
    ("bound", "transient"): "only those of this update are divided by M",
    ("gradient", "semi"): "u = x",
    ("gradient", "ordinary"): "u = x - gamma x'",
    ("time_outs", "terminal"): "the value after a time-out counts as 0",
    ("time_outs", "bootstrapped"): "the value after a time-out counts",
}


def meaning(name: str, value: Any) -> str:
    """In a sentence; empty where the value says all there is to say."""
    return MEANINGS.get((name, value), "") if isinstance(value, (str, bool)) else ""
