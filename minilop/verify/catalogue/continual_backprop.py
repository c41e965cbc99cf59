"""Continual Backprop: every utility, every convention, and the supported networks."""

from collections.abc import Mapping
from typing import Any

from minilop.verify.catalogue.description import Description
from minilop.verify.catalogue.gradient_descent import ADAM, SGD, learner
from minilop.verify.catalogue.sizes import CONVNET, MLP, RESNET, SMALL, mlp

CONTINUAL_BACKPROP = {
    **SGD,
    "step_size": 0.02,
    "replacement_rate": 0.0547,
    "maturity_threshold": 5,
    "decay_rate": 0.9,
    "utility": "contribution",
    "outgoing": "sum",
    "average": "utility",
    "centre": "updated",
    "bias_correction": True,
    "rate_counts": "eligible",
    "rounding": "accumulate",
    "initialization": "kaiming",
    "fresh_weights": "initial",
    "transfer_bias": False,
    "reset_optimizer_state": False,
    "when": "after_update",
    "shortcuts": "ignored",
}
TWO_LAYERS = {**MLP, "batch": 2}
WITH_ADAM = {**CONTINUAL_BACKPROP, **ADAM}
WITH_MOMENTUM = {**CONTINUAL_BACKPROP, "step_size": 0.005, "momentum": 0.9}
CONVOLUTIONAL = {**CONTINUAL_BACKPROP, "initialization": "default", "replacement_rate": 0.0447}
RESIDUAL = {
    **CONTINUAL_BACKPROP,
    "initialization": "kaiming_normal",
    "average": "lifetime_activity",
    "bias_correction": False,
    "loss": "cross_entropy",
    "replacement_rate": 0.113,
}


def case(
    name: str,
    comment: str,
    changes: Mapping[str, Any],
    seed: int,
    sizes: Mapping[str, Any] = SMALL,
    base: Mapping[str, Any] = CONTINUAL_BACKPROP,
    steps: int = 60,
) -> Description:
    """A case of Continual Backprop, given its differences from the base settings."""
    return learner(f"continual_backprop/{name}", comment, {**base, **changes}, sizes, seed, steps)


UTILITIES = [
    case(
        "contribution",
        "The utility of the paper, with bias correction and an accumulated budget.",
        {"replacement_rate": 0.0313, "maturity_threshold": 6},
        101324,
        sizes=TWO_LAYERS,
        steps=100,
    ),
    case(
        "adaptable_contribution",
        "The utility of the published code: how much a unit varies and how fast it can learn.",
        {"utility": "adaptable_contribution", "outgoing": "mean", "replacement_rate": 0.0213},
        1527,
        sizes=TWO_LAYERS,
    ),
    *(
        case(name, f"The utility {name}.", {"utility": name}, seed)
        for name, seed in (
            ("weight", 4),
            ("adaptation", 4),
            ("zero_contribution", 4),
            ("feature_by_input", 681),
            ("random", 4),
        )
    ),
]
CONVENTIONS = [
    case(
        "paper",
        "The paper's Algorithm 1 to the letter: no bias correction, and one unit whenever more than one is due.",
        {"utility": "contribution", "outgoing": "sum", "bias_correction": False, "rounding": "single"},
        2343,
    ),
    case("chance", "One unit with the probability of what is due.", {"rounding": "chance"}, 748),
    case(
        "chance_of_more_than_one",
        "Where more than one unit is due in a step, its whole part goes, and no coin is tossed.",
        {"rounding": "chance", "replacement_rate": 0.7321},
        762,
    ),
    case(
        "more_due_than_eligible",
        "Several units go in one step; where more are due than are mature, all of these go and the rest stays due.",
        {"rate_counts": "all", "replacement_rate": 0.5571},
        785,
    ),
    case(
        "single_of_several",
        "One unit in a step, although several are due.",
        {"rounding": "single", "replacement_rate": 0.6271},
        803,
    ),
    case("single", "One unit whenever more than one is due.", {"rounding": "single"}, 823),
    case(
        "previous_centre",
        "Features are centred on the running mean from before the mini-batch.",
        {"utility": "zero_contribution", "centre": "previous"},
        841,
    ),
    case("no_bias_correction", "Units are ranked by the running average itself.", {"bias_correction": False}, 4249),
    case("rate_counts_all", "All units count in what is due, as soon as one is mature.", {"rate_counts": "all"}, 15),
    case("outgoing_mean", "The mean of outgoing weights in place of their sum.", {"outgoing": "mean"}, 16),
    case(
        "lifetime_activity",
        "The activity of all of a unit's life, which replacement does not reset, times its present weights.",
        {"average": "lifetime_activity", "bias_correction": False},
        6026,
    ),
    case(
        "lifetime_weight",
        "The same with the present weights alone.",
        {"average": "lifetime_activity", "utility": "weight", "bias_correction": False},
        6135,
    ),
    case(
        "normal_fresh_weights",
        "Fresh weights from the normal law of variance 2 / fan_in.",
        {"fresh_weights": "normal"},
        960,
    ),
    case("transfer_bias", "Consumers take over the mean output of a replaced unit.", {"transfer_bias": True}, 20),
    case(
        "before_update", "Units are judged and replaced before the optimizer's step.", {"when": "before_update"}, 1001
    ),
    case(
        "single_example",
        "One example a step, so that a mean over the mini-batch is one number.",
        {"loss": "half_squared_error"},
        1022,
        sizes=mlp(3, 5, 2, batch=1),
    ),
    case("tanh", "A feature may be negative: its size counts.", {"activation": "tanh"}, 23),
    case(
        "tanh_adaptable",
        "The same for a centred utility, with cross-entropy.",
        {"activation": "tanh", "utility": "adaptable_contribution", "loss": "cross_entropy"},
        24,
    ),
    case(
        "weight_decay",
        "With L2 regularization and Shrink & Perturb's noise in the same step.",
        {"weight_decay": 0.05, "perturb_scale": 0.01},
        1083,
    ),
    case("no_memory", "decay_rate=0: the mini-batch of the step alone counts.", {"decay_rate": 0.0}, 1121),
]
OPTIMIZERS = [
    case("momentum", "With momentum, which is left as it is.", {}, 1120, base=WITH_MOMENTUM),
    case(
        "momentum_reset",
        "With momentum, which is forgotten for the weights of a replaced unit.",
        {"reset_optimizer_state": True},
        1140,
        base=WITH_MOMENTUM,
    ),
    case("adam", "With Adam, whose moments are left as they are.", {}, 1161, base=WITH_ADAM),
    case(
        "adam_reset",
        "With Adam, which begins anew for every weight of a replaced unit: both moments and its count of steps.",
        {"reset_optimizer_state": True},
        33,
        base=WITH_ADAM,
    ),
]
NETWORKS = [
    case(
        "convolutional",
        "Channels of a convolution as units, which have several features behind the flattening.",
        {},
        100,
        base=CONVOLUTIONAL,
        sizes=CONVNET,
    ),
    case(
        "convolutional_pair",
        "A convolution that feeds a convolution: all its weights that read a channel leave that unit.",
        {"utility": "adaptable_contribution"},
        41,
        base=CONVOLUTIONAL,
        sizes={**CONVNET, "input_shape": (1, 8, 8), "kernels": ((2, 3), (3, 2)), "dense_units": (), "batch": 1},
    ),
    case(
        "residual",
        "Channels of a residual network, judged and disconnected by the next convolution alone. 16 steps, since each "
        "has a hundred quantities.",
        {},
        332,
        base=RESIDUAL,
        sizes={**RESNET, "blocks": (2,)},
        steps=16,
    ),
    case(
        "residual_cut",
        "The same, with the weights that shortcuts lead to counted and set to 0 as well. 16 steps, since each has a "
        "hundred quantities.",
        {"shortcuts": "cut"},
        336,
        base=RESIDUAL,
        sizes={**RESNET, "widths": (2, 2), "blocks": (1, 1)},
        steps=16,
    ),
]
DESCRIPTIONS = [*UTILITIES, *CONVENTIONS, *OPTIMIZERS, *NETWORKS]
