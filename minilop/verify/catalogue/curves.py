"""The cases of curves, for code that cannot use given draws: a small slowly changing regression problem.

The stream is given and is the same in all runs: x (T, 20) of zeros and ones, y (T,), one example per step. The initial
weights and the draws of Continual Backprop are random. An implementation with its own random numbers learns from the
stream at least `runs` times. It returns the mean squared error (y - output)^2 of each run in each bin of `bin_size`
examples, where each error is computed before learning from its example.

15 bits keep their values for 1,000 examples; then one of them is inverted. 5 bits are random in each example. The
target is a network of 100 threshold units, as in problems/slowly_changing_regression, from Dohare et al. (2024).
"""

from typing import Any

import numpy as np

from minilop import draws
from minilop.backend import to_host
from minilop.verify.case import Arrays, Case
from minilop.verify.catalogue.description import Description

SIZES = {
    "network": "mlp",
    "layers": (20, 5, 1),
    "batch": 1,
    "runs": 30,
    "bin_size": 4_000,
    "task_length": 1_000,
    "slow_bits": 15,
    "target_units": 100,
}
BACKPROP = {"loss": "squared_error", "activation": "tanh", "step_size": 0.01, "margin": 0.1}
COMMENT = (
    "Backpropagation on the stream of examples x (T, 20), y (T,), one a step: the mean squared error in bins of 4,000 "
    "examples, over 30 runs. Weights begin uniform with the bound of the scheme kaiming, those of the last layer with "
    "that of the activation identity; biases begin at 0."
)


def describe(name: str, comment: str, **settings: Any) -> Description:
    """A learner on the stream of 16,000 examples."""
    return Description(
        f"slowly_changing_regression/{name}", "curve", comment, {**BACKPROP, **settings}, SIZES, 16_000, seed=261
    )


DESCRIPTIONS = [
    describe("backprop", COMMENT),
    describe(
        "continual_backprop",
        f"Continual {COMMENT[0].lower()}{COMMENT[1:]}",
        activation="relu",
        step_size=0.05,  # with this step size, backpropagation alone loses most of its units
        replacement_rate=0.003,
        maturity_threshold=100,
        decay_rate=0.99,
        utility="contribution",
        outgoing="sum",
        rounding="accumulate",
        bias_correction=True,
        rate_counts="eligible",
        when="after_update",
        reset_optimizer_state=False,
    ),
]


def make_inputs(case: Case) -> Arrays:
    """The stream of examples."""
    seed, sizes = case.seed, case.sizes
    units, bits, slow = sizes["target_units"], sizes["layers"][0], sizes["slow_bits"]
    weight, bias = signs(seed, "target weight", (units, bits)), signs(seed, "target bias", (units,))
    threshold = 0.7 * (bits + 1) - (weight < 0).sum(axis=-1) - (bias < 0)  # (U,)
    tasks = np.arange(case.steps // sizes["task_length"])[:, None]
    inverted = to_host(draws.integers(seed, "inverted bit", 1, slow, step=tasks))[..., 0] == np.arange(slow)
    inverted[0] = False
    slow_bits = (to_host(draws.integers(seed, "slow bits", slow, 2)) + inverted.cumsum(axis=0)) % 2  # (tasks, 15)
    slow_bits = slow_bits.repeat(sizes["task_length"], axis=0)  # (T, 15)
    fast_bits = to_host(draws.integers(seed, "verify inputs", bits - slow, 2, step=np.arange(case.steps)))  # (T, 5)
    x = np.concatenate([slow_bits, fast_bits], axis=-1)  # (T, 20)
    fires = x @ weight.T + bias > threshold  # (T, U)
    y = fires @ signs(seed, "target output weight", (units,)) + signs(seed, "target output bias", ())
    return {"x": x.astype("int8"), "y": y.astype(float)}


def signs(seed: int, purpose: str, shape: tuple[int, ...]) -> np.ndarray:
    """-1 or +1."""
    return 2 * to_host(draws.integers(seed, purpose, shape, 2)) - 1
