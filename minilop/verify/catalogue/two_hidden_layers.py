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


RESET = {"reset_optimizer_state": True, "replacement_rate": 0.0937}
SINGLE = {"bias_correction": False, "rounding": "single"}
BEFORE = {"when": "before_update", "replacement_rate": 0.0937}
ALL_COUNT = {"rate_counts": "all", "replacement_rate": 0.3571}
SLOWER = {**ADAPTABLE, "replacement_rate": 0.0937}
MANY = {"replacement_rate": 0.4571}
ONE_EXAMPLE = {**MLP, "batch": 1}
DESCRIPTIONS = [
    of_two("immature_units", "The units of least utility are often immature and thus protected.", {}, 23),
    of_two("paper_two_layers", "The paper's Algorithm 1; c is exactly 1 at times, and must exceed it.", SINGLE, 25),
    of_two("single_two_layers", "The same with the utility gnt.py has.", {**ADAPTABLE, "rounding": "single"}, 208),
    of_two("before_update_two_layers", "Units of both layers are replaced before the optimizer's step.", BEFORE, 172),
    of_two("momentum_two_layers", "With momentum, which new units keep.", SLOWER, 30, WITH_MOMENTUM),
    of_two("momentum_reset_two_layers", "With momentum, reset for replaced units.", RESET, 23, WITH_MOMENTUM),
    of_two("adam_reset_two_layers", "With Adam, whose state is reset for replaced units.", RESET, 1, WITH_ADAM),
    of_two("several_due", "Several eligible units are due in a step.", MANY, 1, sizes=FIVE_UNITS),
    of_two("excess", "More units are due than are eligible; the rest stays due.", ALL_COUNT, 1, sizes=FIVE_UNITS),
    of_two("ties", "Units of utility 0 are tied; the first ones go.", {"decay_rate": 0.0}, 40, sizes=ONE_EXAMPLE),
]
