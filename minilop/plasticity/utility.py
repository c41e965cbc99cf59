"""What a unit is worth: the seven utilities of Continual Backprop.

With O and I the mean (or summed) outgoing and mean incoming magnitude of a unit's weights, h its feature,
f its running mean feature, and |.| averaged over the mini-batch:

    contribution             O |h|
    weight                   O
    adaptation               1 / I
    zero_contribution        O |h - f|
    adaptable_contribution   O |h - f| / I
    feature_by_input         |h - f| / I
    random                   a fresh uniform number, drawn where units are replaced

The paper describes the contribution alone (Dohare et al., 2024, eq. 1); the others are those of its published code, gnt.py.
"""

from typing import Literal

from minilop.backend import Array
from minilop.plasticity.units import batch_mean

Utility = Literal[
    "contribution",
    "weight",
    "adaptation",
    "zero_contribution",
    "adaptable_contribution",
    "feature_by_input",
    "random",
]
CENTRED = ("zero_contribution", "adaptable_contribution", "feature_by_input")
USES_INCOMING = ("adaptation", "adaptable_contribution", "feature_by_input")


def instantaneous_utility(utility: str, features: Array, centre: Array, incoming: Array, outgoing: Array) -> Array:
    """What the units are worth on this mini-batch, by the table above.

    features             (R, H, B)
    centre               (R, H)     the running mean feature f; may be None where the utility does not use it
    incoming, outgoing   (R, H)     magnitudes of the weights; the same
    returns              (R, H)
    """
    if utility == "weight":
        return outgoing
    if utility == "adaptation":
        return 1 / incoming
    if utility == "contribution":
        return outgoing * batch_mean(abs(features))
    variation = batch_mean(abs(features - centre[..., None]))
    if utility == "zero_contribution":
        return outgoing * variation
    if utility == "feature_by_input":
        return variation / incoming
    return outgoing * variation / incoming


def update_average(average: Array, value: Array, decay_rate: float) -> None:
    """average <- eta average + (1 - eta) value, in place."""
    average *= decay_rate
    average += (1 - decay_rate) * value
