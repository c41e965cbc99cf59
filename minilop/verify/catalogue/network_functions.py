"""The cases of single functions of networks and of diagnostics."""

import numpy as np

from minilop.verify.case import Arrays, Case
from minilop.verify.catalogue.examples import in_float32
from minilop.verify.catalogue.functions import FunctionCases, integers, numbers

CASES = FunctionCases()

# --- losses -----------------------------------------------------------------------------------------------------------


def regression(case: Case) -> Arrays:
    return {"outputs": numbers(case, "outputs", 3, 4), "targets": numbers(case, "targets", 3, 4)}


def classification(case: Case) -> Arrays:
    outputs = numbers(case, "outputs", 5, 4, scale=case.sizes["scale"])
    return {"outputs": outputs, "labels": integers(case, "labels", 4, high=5)}


CASES.add(
    "squared_error",
    "squared_error",
    "outputs, targets (O, B) -> losses (B,), summed over the outputs and without a factor 1/2; output_gradient (O, "
    "B), of their mean over the mini-batch.",
    regression,
    seed=201,
    flags=("loss_mean_over_outputs", "loss_gradient_of_the_sum"),
)
CASES.add(
    "half_squared_error",
    "half_squared_error",
    "outputs, targets (O, B) -> half the squared error, losses (B,), and output_gradient (O, B).",
    regression,
    seed=202,
    flags=("loss_gradient_of_the_sum",),
)
for seed, name, size, remark in (
    (203, "cross_entropy", 1.0, ""),
    (204, "cross_entropy_large_outputs", 1024.0, " The exponentials of these outputs would overflow."),
):
    CASES.add(
        name,
        "cross_entropy",
        "outputs (O, B), labels (B,), whole numbers -> losses (B,), output_gradient (O, B), (softmax - one-hot) / B."
        + remark,
        classification,
        seed=seed,
        flags=("loss_gradient_of_the_sum",),
        sizes={"scale": size},
    )

# --- initial weights --------------------------------------------------------------------------------------------------


def fans(case: Case) -> Arrays:
    return {"fan_in": np.array([1, 3, 5, 20, 128, 784]), "fan_out": np.array([7, 5, 4, 5, 256, 2000])}


for seed, (scheme, scale, mistakes) in enumerate(
    (
        ("kaiming", "bound of a uniform law", ("kaiming_deviation_as_bound", "gain_left_out")),
        ("lecun", "bound of a uniform law", ()),
        ("xavier", "bound of a uniform law", ("xavier_of_inputs_alone", "gain_left_out")),
        ("default", "bound of a uniform law, of weights and biases alike", ()),
        ("kaiming_normal", "standard deviation of a normal law", ("gain_left_out",)),
    ),
    start=211,
):
    CASES.add(
        f"initial_weights_{scheme}",
        "initial_weight_scale",
        "fan_in, fan_out (), whole numbers, scheme -> scale/<activation> () for a layer that is followed by each "
        f"activation: the {scale}.",
        fans,
        seed=seed,
        flags=mistakes,
        scheme=scheme,
    )

# --- units ------------------------------------------------------------------------------------------------------------


def hidden_layer(case: Case) -> Arrays:
    return {
        "features": numbers(case, "features", 5, 4),
        "mean_feature": numbers(case, "mean feature", 5, scale=0.5),
        "incoming_weight": numbers(case, "incoming weight", 5, 3),
        "outgoing_weight": numbers(case, "outgoing weight", 2, 5),
    }


for seed, outgoing in ((221, "mean"), (222, "sum")):
    CASES.add(
        f"utilities_{outgoing}",
        "utilities",
        "features (H, B), mean_feature (H,), incoming_weight (H, I), outgoing_weight (O, H), outgoing (the mean or "
        "the sum of the magnitudes of a unit's outgoing weights is meant; that of its incoming ones always is the "
        "mean) -> utility/<name> (H,) of each, before any running average. See minilop/plasticity/utility.py.",
        hidden_layer,
        seed=seed,
        flags=("utility_of_signed_features", "utility_other_outgoing"),
        outgoing=outgoing,
    )


def sparse_features(case: Case) -> Arrays:
    """Eight units on 150 examples: units 1, 3 and 4 are active on 0, 1 and 3 examples, units 6 and 7 on one example."""
    examples = np.arange(150)
    features = abs(numbers(case, "features", 8, 150))
    for unit, active in ((1, 0), (3, 1), (4, 3)):
        features[:, unit] *= examples < active
    features[:, 3] *= 64  # rarely active, but strongly
    features[1:, 6:] = 0
    return {"features": features}


def activity(case: Case) -> Arrays:
    return {"activity": abs(numbers(case, "activity", 10))}


def correlated_features(case: Case) -> Arrays:
    """Features that span fewer directions in each instance, and are all 0 in the last."""
    features = numbers(case, "mixing", 6, 6) @ numbers(case, "features", 6, 20)
    for instance in range(case.steps):
        features[instance, 6 - instance :] *= 1 / 128
    features[-1] = 0
    return {"features": in_float32(features)}


CASES.add(
    "ranks",
    "ranks",
    "features (H, N) -> singular_values (min(H, N),), largest first; effective_rank (), the exponential of the "
    "entropy of their shares in nats; stable_rank (), the fewest that hold more than 99 % of their sum; "
    "approximate_rank (), the fewest whose squares hold 99 % of the sum of squares. Where all features are 0: "
    "effective_rank 1, the others 0.",
    correlated_features,
    seed=230,
    flags=("squared_stable_rank", "stable_rank_of_norms", "effective_rank_in_bits", "effective_rank_of_squares"),
)
CASES.add(
    "silent_units",
    "silent_units",
    "features (H, N), dormant_threshold -> dead_units (), the share of units that are 0 on every example; "
    "dormant_units (), of those that are not 0 on less than this share of the examples.",
    sparse_features,
    seed=232,
    flags=("dormant_by_mean_activity",),
    steps=2,
    dormant_threshold=0.01,
)
CASES.add(
    "redo_dormant_units",
    "redo_dormant_units",
    "activity (H,), the mean of |h| of each unit, redo_threshold -> dormant (H,), of bool: activity at most this "
    "share of the layer's mean activity.",
    activity,
    seed=233,
    flags=("redo_absolute_threshold",),
    redo_threshold=0.25,
)
CASES.add(
    "weight_magnitude",
    "weight_magnitude",
    "weight/0 (5, 3), weight/1 (4, 5), weight/2 (2, 4) -> weight_magnitude (), the mean of the absolute values of all "
    "weights together, without biases.",
    lambda case: {
        f"weight/{layer}": numbers(case, f"weight {layer}", *shape) * 2.0**-layer
        for layer, shape in enumerate([(5, 3), (4, 5), (2, 4)])
    },
    seed=234,
    flags=("weight_magnitude_mean_of_layers",),
)
CASES.add(
    "learning_curve",
    "learning_curve",
    "errors (R, n) of R runs, bin_size -> bins (R, n / bin_size), the means over so many examples; mean (n / "
    "bin_size,) over runs; standard_error (n / bin_size,), the standard deviation over runs by R - 1, divided by the "
    "root of R.",
    lambda case: {"errors": in_float32(numbers(case, "errors", 5, 24) ** 2)},
    seed=235,
    flags=("standard_error_by_number_of_runs", "standard_deviation_as_error"),
    bin_size=6,
)

DESCRIPTIONS = CASES.descriptions
make_inputs = CASES.make_inputs
