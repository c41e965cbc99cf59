"""How many units of a layer are due for replacement: the bookkeeping of Continual Backprop that is the same for all
units, kept on the host so that no step waits for the device."""

from collections import deque
from typing import Literal

import numpy as np

from minilop import draws
from minilop.backend import to_host

COINS_A_SHEET = 1024


class ReplacementBudget:
    """Counts, for one hidden layer, the eligible units and the replacements due in each run.

    replacement_rate     rho, a number, or (R, 1) on the host with a value for each run
    rate_counts          rho times the number of "eligible" units, or of "all" as soon as one is eligible, is due a step
    rounding             "accumulate"  whole parts of a running total; the fraction is carried over
                         "single"      one unit whenever the running total exceeds 1 (the paper's)
                         "chance"      one unit with the probability of what is due, or its whole part from 1 on

    A unit replaced at step s is eligible again at step s + maturity_threshold + 1.
    """

    def __init__(
        self,
        seeds: np.ndarray,
        layer: int,
        num_units: int,
        replacement_rate: float | np.ndarray,
        maturity_threshold: int,
        rate_counts: Literal["eligible", "all"],
        rounding: Literal["accumulate", "chance", "single"],
    ):
        self.num_units = num_units
        self.replacement_rate = np.ravel(replacement_rate)  # (1,) or (R,)
        self.maturity_threshold = maturity_threshold
        self.rate_counts = rate_counts
        self.rounding = rounding
        self.total = np.zeros(len(seeds))  # what is due and not yet replaced
        self.eligible = np.zeros(len(seeds), int)
        self.maturing = deque([(maturity_threshold, np.full(len(seeds), num_units))])  # (step, newly eligible units)
        self.due_per_step = np.zeros(len(seeds))
        self.certain = np.zeros(len(seeds))  # the whole part of what is due per step, for "chance"
        self.seeds = seeds
        self.layer = layer
        self.coins = np.empty((0, 0))
        self.sheet: int | None = None

    def due(self, step: int) -> np.ndarray | None:
        """How many units of each run to replace at this step, (R,), or None where no run replaces any.

        Never more than are eligible; with "accumulate" and "single" the rest stays due.
        """
        while self.maturing and self.maturing[0][0] <= step:
            self._count(self.maturing.popleft()[1])
        if self.rounding == "chance":
            due = np.where(self.certain > 0, self.certain, self.toss(step) < self.due_per_step)
        else:
            self.total += self.due_per_step
            due = self.total > 1 if self.rounding == "single" else np.floor(self.total)
        if not due.any():
            return None
        due = np.minimum(due.astype(int), self.eligible)
        if self.rounding != "chance":
            self.total -= due
        self._count(-due)
        self.maturing.append((step + self.maturity_threshold + 1, due))
        return due

    def toss(self, step: int) -> np.ndarray:
        """A uniform number for each run, (R,): number t mod 1024 of the draw at step t div 1024, for step t.

        So that all words of the generator are used, and the host waits for the device once in 1024 steps.
        """
        sheet, place = divmod(step, COINS_A_SHEET)
        if sheet != self.sheet:
            self.sheet = sheet
            coins = draws.uniform(
                self.seeds, "replacement coin", COINS_A_SHEET, layer=self.layer, step=sheet, dtype="float64"
            )  # (R, 1024)
            self.coins = np.ascontiguousarray(to_host(coins).T)
        return self.coins[place]

    def _count(self, newly_eligible: np.ndarray) -> None:
        self.eligible = self.eligible + newly_eligible
        counted = self.eligible if self.rate_counts == "eligible" else np.where(self.eligible > 0, self.num_units, 0)
        self.due_per_step = self.replacement_rate * counted
        self.certain = np.floor(self.due_per_step)

    def restore(self, total: np.ndarray, age: np.ndarray, step: int) -> None:
        """Go on before step number `step`, with units of the given ages (R, H) on the host."""
        self.total = total
        self.maturing = deque(
            (step + self.maturity_threshold - young, (age == young).sum(axis=-1))
            for young in sorted(set(age[age <= self.maturity_threshold].tolist()), reverse=True)
        )
        self.eligible = np.zeros_like(self.eligible)
        self._count((age > self.maturity_threshold).sum(axis=-1))
