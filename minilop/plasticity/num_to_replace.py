"""How many units of a layer to replace: line 4 of Continual Backprop and its variants, on the host.

`count` says how many units the replacement rate is a fraction of, `round` what becomes of fractions of a unit:

    accumulate   c <- c + due,  n <- floor(c),  c <- c - n                           the fraction is carried over
    single       c <- c + due,  n <- 1 if c > 1,  c <- c - n                         the paper's
    chance       n <- floor(due) if due >= 1, otherwise 1 with probability due       nothing is carried over

with due = rho times the counted units. No more units are replaced than are eligible.
"""

from collections.abc import Callable

import numpy as np

from minilop import draws
from minilop.backend import to_host

STEPS_PER_DRAW = 1024


def replacement_draws(seeds: np.ndarray, layer: int) -> draws.PrefetchedDraws:
    """A uniform number for each run and step, (R,): number t mod 1024 of the draw at step t div 1024, for step t.

    So the host waits for the device once in 1024 steps, and all words of the generator are used.
    """

    def draw(steps: np.ndarray) -> np.ndarray:
        where = int(steps[0, 0]) // STEPS_PER_DRAW
        drawn = draws.uniform(seeds, "replacement coin", STEPS_PER_DRAW, layer=layer, step=where, dtype="float64")
        return np.ascontiguousarray(to_host(drawn).T)  # (1024, R)

    return draws.PrefetchedDraws(draw, STEPS_PER_DRAW)


def accumulate(units_to_replace: np.ndarray, due: np.ndarray, num_eligible: np.ndarray, *_: object) -> np.ndarray:
    """Whole units, (R,). units_to_replace (R,) is c, changed in place."""
    units_to_replace += due
    number = np.minimum(np.floor(units_to_replace), num_eligible)
    units_to_replace -= number
    return number


def single(units_to_replace: np.ndarray, due: np.ndarray, num_eligible: np.ndarray, *_: object) -> np.ndarray:
    """One unit at most, (R,)."""
    units_to_replace += due
    number = np.minimum(units_to_replace > 1, num_eligible)
    units_to_replace -= number
    return number


def chance(
    units_to_replace: np.ndarray, due: np.ndarray, num_eligible: np.ndarray, uniforms: draws.PrefetchedDraws, step: int
) -> np.ndarray:
    """One unit with probability `due`, or its whole part, (R,)."""
    number = np.maximum(np.floor(due), uniforms(step) < due)  # from due = 1 on, the floor is at least the 1 of a draw
    return np.minimum(number, num_eligible)


ROUNDINGS: dict[str, Callable[..., np.ndarray]] = {"accumulate": accumulate, "single": single, "chance": chance}

COUNTS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "eligible": lambda num_eligible, num_units: num_eligible,
    "all": lambda num_eligible, num_units: np.where(num_eligible > 0, num_units, 0),
}
