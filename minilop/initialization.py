"""Initial weights, uniform in (-bound, bound) or normal. Their scale depends on the numbers of inputs and outputs.

    scheme           bound
    kaiming          gain * sqrt(3 / fan_in)                   He et al. 2015
    lecun            sqrt(3 / fan_in)                          LeCun et al. 1998
    xavier           gain * sqrt(6 / (fan_in + fan_out))       Glorot and Bengio 2010
    default          sqrt(1 / fan_in)                          PyTorch's own layers, weights and biases

                     standard deviation
    kaiming_normal   gain * sqrt(1 / fan_in)                   the original form of He et al. 2015, with the same
                                                               variance as kaiming

`gain` compensates for the reduction of the variance by the activation after the layer. elu and swish use the gain of
relu, as in the published code. Biases start at 0 except with `default`.
"""

import math
from typing import Literal

from minilop.checks import check_choice

Scheme = Literal["kaiming", "lecun", "xavier", "default", "kaiming_normal"]

GAINS = {
    "identity": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "leaky_relu": math.sqrt(2 / (1 + 0.01**2)),
    "elu": math.sqrt(2),
    "swish": math.sqrt(2),
}


def weight_bound(scheme: Scheme, activation: str, fan_in: int, fan_out: int) -> float:
    """The scale of the table above, a bound or a standard deviation, for a layer followed by `activation`.

    Raises ValueError for a scheme or an activation that is not in a table.
    """
    check_choice("scheme", scheme, Scheme)
    check_choice("activation", activation, GAINS)
    gain = GAINS[activation]
    if scheme == "kaiming_normal":
        return gain * math.sqrt(1 / fan_in)
    if scheme == "kaiming":
        return gain * math.sqrt(3 / fan_in)
    if scheme == "lecun":
        return math.sqrt(3 / fan_in)
    if scheme == "xavier":
        return gain * math.sqrt(6 / (fan_in + fan_out))
    return math.sqrt(1 / fan_in)


def bias_bound(scheme: Scheme, fan_in: int) -> float:
    """The bound of the initial biases: 0 except for the `default` scheme. Raises ValueError for an unknown scheme."""
    check_choice("scheme", scheme, Scheme)
    return math.sqrt(1 / fan_in) if scheme == "default" else 0.0
