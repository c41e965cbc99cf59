"""Continual Backprop with two hidden layers and many replacements: protection of new units and order of the layers.

Units mature within a few steps, and both layers replace several of them while many of the other units are immature.
"""

from collections.abc import Mapping
from typing import Any

from minilop.verify.catalogue.continual_backprop import CONTINUAL_BACKPROP, TWO_LAYERS, WITH_ADAM, WITH_MOMENTUM, case
from minilop.verify.catalogue.description import Description
from minilop.verify.catalogue.sizes import MLP, mlp

ADAPTABLE = {"utility": "adaptable_contribution", "outgoing": "mean"}  # so that a layer's incoming weights count
FIVE_UNITS = mlp(3, 5, 2, batch=2)


def of_two(
    name: str,
    comment: str,
    changes: Mapping[str, Any],
    seed: int,
    base: Mapping[str, Any] = CONTINUAL_BACKPROP,
    sizes: Mapping[str, Any] = TWO_LAYERS,
) -> Description:
    """A case with two hidden layers, given its differences from the base settings."""
    return case(name, comment, {"replacement_rate": 0.125, **changes}, seed, sizes, base)


DESCRIPTIONS = [
    of_two(
        "immature_units",
        "Units of the least utility are often immature, and protected: others go in their place.",
        {},
        23,
    ),
    of_two(
        "paper_two_layers",
        "The paper's Algorithm 1 with two hidden layers; what is due is exactly 1 at times, and must exceed it.",
        {"bias_correction": False, "rounding": "single"},
        25,
    ),
    of_two(
        "single_two_layers",
        "The same with the utility of the published code, in which weights between the layers count for both.",
        {**ADAPTABLE, "rounding": "single"},
        208,
    ),
    of_two(
        "before_update_two_layers",
        "Units of both layers are judged and replaced before the optimizer's step.",
        {"when": "before_update", "replacement_rate": 0.0937},
        172,
    ),
    of_two(
        "momentum_two_layers",
        "With momentum, which is left as it is for new units, too.",
        {**ADAPTABLE, "replacement_rate": 0.0937},
        30,
        WITH_MOMENTUM,
    ),
    of_two(
        "momentum_reset_two_layers",
        "With momentum, which is forgotten for the weights of replaced units of both layers.",
        {"reset_optimizer_state": True, "replacement_rate": 0.0937},
        23,
        WITH_MOMENTUM,
    ),
    of_two(
        "adam_reset_two_layers",
        "With Adam, which begins anew for the weights of replaced units of both layers.",
        {"reset_optimizer_state": True, "replacement_rate": 0.0937},
        1,
        WITH_ADAM,
    ),
    of_two(
        "several_due",
        "Of the mature units several are due in a step.",
        {"replacement_rate": 0.4571},
        1,
        sizes=FIVE_UNITS,
    ),
    of_two(
        "excess",
        "All units count: where more are due than are mature, the rest stays due.",
        {"rate_counts": "all", "replacement_rate": 0.3571},
        1,
        sizes=FIVE_UNITS,
    ),
    of_two(
        "ties",
        "Of one example without memory: silent units have a utility of exactly 0, and of those the first go.",
        {"decay_rate": 0.0},
        40,
        sizes={**MLP, "batch": 1},
    ),
]
