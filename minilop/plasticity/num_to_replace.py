"""The number n of units of a layer to replace: line 4 of Continual Backprop and its variants, on the host.

In each step, q = rho times the number of counted units (`quota` in the code). `COUNTS` has the ways to count the units,
and `ROUNDINGS` has the ways to turn q into an integer n:

    accumulate   c <- c + q,  n <- floor(c),  c <- c - n                     carries the fraction over
    single       c <- c + q,  n <- 1 if c > 1, otherwise 0,  c <- c - n      as in the paper
    chance       n <- floor(q) if q >= 1, otherwise 1 with probability q     carries nothing over

n is at most the number of eligible units.
"""

from collections.abc import Callable

import numpy as np

from minilop import draws
from minilop.backend import to_host

STEPS_PER_DRAW = 1024


def replacement_draws(seeds: np.ndarray, layer: int) -> draws.PrefetchedDraws:
    """A uniform number for each run and step, (R,). Step t uses number t mod 1024 of the draw at step t div 1024.

    The host therefore waits for the device only once in 1024 steps, and all words of the generator are used.
    """

    def draw(steps: np.ndarray) -> np.ndarray:
        block = int(steps[0, 0]) // STEPS_PER_DRAW
        drawn = draws.uniform(seeds, "replacement coin", STEPS_PER_DRAW, layer=layer, step=block, dtype="float64")
        return np.ascontiguousarray(to_host(drawn).T)  # (1024, R)

    return draws.PrefetchedDraws(draw, STEPS_PER_DRAW)


def accumulate(units_to_replace: np.ndarray, quota: np.ndarray, num_eligible: np.ndarray, *_: object) -> np.ndarray:
    """Returns n, (R,), from c (R,), which is updated in place, and q (R,)."""
    units_to_replace += quota
    num_to_replace = np.minimum(np.floor(units_to_replace), num_eligible)
    units_to_replace -= num_to_replace
    return num_to_replace


def single(units_to_replace: np.ndarray, quota: np.ndarray, num_eligible: np.ndarray, *_: object) -> np.ndarray:
    """Returns n, (R,), at most 1."""
    units_to_replace += quota
    num_to_replace = np.minimum(units_to_replace > 1, num_eligible)
    units_to_replace -= num_to_replace
    return num_to_replace


def chance(
    units_to_replace: np.ndarray, quota: np.ndarray, num_eligible: np.ndarray, draw: draws.PrefetchedDraws, step: int
) -> np.ndarray:
    """Returns n, (R,), from a uniform number per run."""
    num_to_replace = np.maximum(np.floor(quota), draw(step) < quota)  # if q >= 1, the floor is at least 1
    return np.minimum(num_to_replace, num_eligible)


ROUNDINGS: dict[str, Callable[..., np.ndarray]] = {"accumulate": accumulate, "single": single, "chance": chance}

COUNTS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "eligible": lambda num_eligible, num_units: num_eligible,
    "all": lambda num_eligible, num_units: np.where(num_eligible > 0, num_units, 0),
}
