"""Compares learning curves of implementations that draw their own random numbers, by two one-sided tests per bin.

For each bin, let d be the difference of the two means over runs, relative to the reference's mean, and s its standard
error:

    agrees         |d| + 1.645 s <= margin       the tests reject, at 5 %, that |d| exceeds the margin
    differs        |d| - 1.645 s >  margin       the tests reject, at 5 %, that |d| is within the margin
    inconclusive   otherwise; more runs are needed

A curve differs if any bin differs, and agrees if all bins agree. An implementation whose error exceeds the margin in
some bin is therefore accepted in at most 5 % of all cases. A correct implementation with other random numbers is almost
never rejected: its |d| would have to exceed the margin plus 1.645 s. The margin is the case's setting `margin`.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minilop.verify.case import Case, VerifyError, as_array

QUANTILE = 1.645  # 95 % quantile of the standard normal distribution

FEWEST_RUNS = 10  # with fewer runs the standard error is too uncertain

Outcome = Literal["agrees", "differs", "inconclusive"]


@dataclass(frozen=True)
class CurveVerdict:
    """The result of a comparison of curves.

    bins         the outcome of each bin
    difference   of the means, relative to the reference's mean, (bins,)
    uncertainty  1.645 standard errors of the difference, (bins,)
    margin       the allowed difference
    runs         the number of runs
    """

    bins: tuple[Outcome, ...]
    difference: np.ndarray
    uncertainty: np.ndarray
    margin: float
    runs: int

    @property
    def overall(self) -> Outcome:
        """Differs if any bin differs, agrees if all bins agree."""
        if "differs" in self.bins:
            return "differs"
        return "inconclusive" if "inconclusive" in self.bins else "agrees"

    @property
    def says(self) -> str:
        """The result in one sentence."""
        candidates = [bin for bin, outcome in enumerate(self.bins) if outcome == self.overall]
        worst = max(candidates, key=lambda bin: np.nan_to_num(abs(self.difference[bin]), nan=np.inf))
        measured = f"{self.difference[worst]:+.1%} with an uncertainty of {self.uncertainty[worst]:.1%}"
        if self.overall == "agrees":
            return f"All bins are within {self.margin:.0%} of the reference; the largest difference is {measured}."
        if not np.isfinite(self.difference[worst]):
            return f"The error of bin {worst} is not finite in some run."
        if self.overall == "differs":
            return f"Bin {worst} is off by {measured}; the margin is {self.margin:.0%}."
        uncertain = f"too uncertain for the margin of {self.margin:.0%}; give more than {self.runs} runs"
        return f"Bin {worst} is off by {measured}, {uncertain}."


def judge(case: Case, errors: Any) -> CurveVerdict:
    """Compare `errors` (runs, bins), the mean error of each run in each bin, with the reference's runs.

    Raises VerifyError for a wrong number of bins, or for too few runs.
    """
    errors = checked_errors(case, errors)
    mean, standard_error = case.expected["curve/mean"], case.expected["curve/standard_error"]
    margin = case.settings["margin"]
    with np.errstate(invalid="ignore", over="ignore"):
        own_error = errors.std(axis=0, ddof=1) / np.sqrt(len(errors))
        difference = (errors.mean(axis=0) - mean) / mean
        uncertainty = QUANTILE * np.hypot(own_error, standard_error) / mean
    bins = tuple(map(_judge_bin, abs(difference), uncertainty, [margin] * len(mean)))
    return CurveVerdict(bins, difference, uncertainty, margin, len(errors))


def checked_errors(case: Case, errors: Any) -> np.ndarray:
    """`errors` as an array (runs, bins). Raises VerifyError for a wrong shape, or if it holds no numbers."""
    bins = case.expected["curve/mean"].shape[-1]
    errors = as_array(errors, f"{case.id}: the curve")
    is_curve = errors.ndim == 2 and errors.shape[1] == bins and errors.dtype.kind in "fiu"
    if not is_curve or len(errors) < FEWEST_RUNS:
        raise VerifyError(
            f"{case.id}: a curve must be numbers (runs, {bins}) of {FEWEST_RUNS} runs or more, not {errors.dtype} "
            f"{errors.shape}."
        )
    return errors


def _judge_bin(distance: float, uncertainty: float, margin: float) -> Outcome:
    if not np.isfinite(distance) or distance - uncertainty > margin:
        return "differs"
    return "agrees" if distance + uncertainty <= margin else "inconclusive"
