"""One sentence for each convention of a case; the files of minilop describe them in full."""

from typing import Any

MEANINGS: dict[tuple[str, Any], str] = {
    ("loss", "squared_error"): "sum over outputs of (output - y)^2; the gradient is that of the mean over examples",
    ("loss", "half_squared_error"): "half the squared error",
    ("loss", "cross_entropy"): "of softmax(outputs); y holds labels",
    ("utility", "contribution"): "outgoing |W| times mean |h|",
    ("utility", "weight"): "outgoing |W|",
    ("utility", "adaptation"): "1 / mean incoming |W|",
    ("utility", "zero_contribution"): "outgoing |W| times mean |h - centre|",
    ("utility", "adaptable_contribution"): "outgoing |W| times mean |h - centre| / mean incoming |W|",
    ("utility", "feature_by_input"): "mean |h - centre| / mean incoming |W|",
    ("utility", "random"): "units are ranked by draws/random_utility; average and bias_correction have no effect",
    ("outgoing", "sum"): "outgoing |W| is a sum over consumers",
    ("outgoing", "mean"): "outgoing |W| is a mean over consumers",
    ("average", "utility"): "u <- eta u + (1 - eta) (utility on this mini-batch)",
    ("average", "lifetime_activity"): "u <- u + (1 - eta) mean |h|, never reset; contribution is outgoing |W| u",
    ("centre", "updated"): "features are centered on the running mean that includes this mini-batch, / (1 - eta^age)",
    (
        "centre",
        "previous",
    ): "features are centered on the running mean before this mini-batch, / (1 - eta^(current age))",
    ("bias_correction", True): "units are ranked by u / (1 - eta^age)",
    ("bias_correction", False): "units are ranked by u",
    (
        "rate_counts",
        "eligible",
    ): "quota per step: replacement_rate times the number of units with age > maturity_threshold",
    ("rate_counts", "all"): "quota per step: replacement_rate times the number of all units, if any unit is eligible",
    ("rounding", "accumulate"): "the quotas accumulate; floor of the sum is replaced, the fraction is carried over",
    ("rounding", "single"): "the quotas accumulate; one unit is replaced if the sum exceeds 1, and 1 is subtracted",
    (
        "rounding",
        "chance",
    ): "one unit if draws/replacement_coin is below the quota; its integer part if it is 1 or more",
    ("initialization", "kaiming"): "fresh weights: bound (2 u - 1), bound = gain sqrt(3 / fan_in); sqrt(2) for relu",
    ("initialization", "default"): "fresh weights: bound (2 u - 1) with bound = sqrt(1 / fan_in); fresh biases are 0",
    ("initialization", "kaiming_normal"): "fresh weights: gain sqrt(1 / fan_in) times standard normal numbers",
    ("fresh_weights", "initial"): "from the initial distribution",
    ("fresh_weights", "normal"): "sqrt(2 / fan_in) times standard normal numbers, for every initialization",
    (
        "transfer_bias",
        True,
    ): "adds outgoing W times the unit's updated mean feature / (1 - eta^age) to the consumers' biases",
    (
        "reset_optimizer_state",
        True,
    ): "the state of all weights that enter or leave a replaced unit, and of its bias, is reset",
    ("reset_optimizer_state", False): "momentum and moments are not reset",
    ("when", "after_update"): "utilities use the weights after the optimizer's step",
    (
        "when",
        "before_update",
    ): "units are replaced before the optimizer's step, which uses the gradients from before the replacement",
    ("shortcuts", "ignored"): "the only consumer of a channel is the next convolution",
    ("shortcuts", "cut"): "the consumers of a channel include all layers that shortcuts carry it to",
    ("curvature", "layer_local"): "c = x^2 of a weight's source, 1 for biases",
    ("curvature", "gauss_newton_diagonal"): "c = s^2",
    ("curvature", "gauss_newton"): "line 6 uses the full product s (s . h); line 2 uses c = s^2",
    ("normalized", False): "line 3 adds mu m, without v",
    ("redo_scores", "mini_batch"): "activity is the mean over this mini-batch",
    ("redo_scores", "period"): "activity is the sum over steps since the last replacement",
    ("step_sizes", "scalar"): "one step size for the network",
    ("step_sizes", "layer"): "one step size per layer, which includes its bias",
    ("step_sizes", "weight"): "one step size per weight",
    ("order", "meta_last"): "step sizes are updated after the weights",
    ("order", "meta_first"): "step sizes are updated before the weights",
    ("bound", "permanent"): "the stored step sizes are divided by M",
    ("bound", "transient"): "only the step sizes of this update are divided by M",
    ("gradient", "semi"): "u = x",
    ("gradient", "ordinary"): "u = x - gamma x'",
    ("time_outs", "terminal"): "the value after a truncation is 0",
    ("time_outs", "bootstrapped"): "the value after a truncation is bootstrapped",
}


def meaning(name: str, value: Any) -> str:
    """The meaning in one sentence; empty if the value explains itself."""
    return MEANINGS.get((name, value), "") if isinstance(value, (str, bool)) else ""
