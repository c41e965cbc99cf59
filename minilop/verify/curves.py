"""Does an implementation that makes its own random numbers learn as well as the reference? Two one-sided tests a bin.

Of each bin, with d the difference of the two means over runs as a share of the reference's, and s its standard error,

    agrees         |d| + 1.645 s <= margin       that they are further apart is refuted at 5 %
    differs        |d| - 1.645 s >  margin       that they are as near is refuted at 5 %
    inconclusive   otherwise; more runs tell

A curve differs where any of its bins does, and agrees where all of them do. So code that is further off than the margin
in some bin is taken for right in 5 % of all cases at most, and the same code with other random numbers is almost never
taken for wrong: its d would have to be beyond the margin and 1.645 s. The margin is the case's setting `margin`.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minilop.verify.case import Case, VerifyError, as_array

QUANTILE = 1.645  # of the normal law, 95 %

FEWEST_RUNS = 10  # of fewer, a standard error is no good measure

Outcome = Literal["agrees", "differs", "inconclusive"]


@dataclass(frozen=True)
class CurveVerdict:
    """What a comparison of curves found.

    bins         the judgement of each
    difference   of the means, as a share of the reference's mean, (bins,)
    uncertainty  1.645 standard errors of that, (bins,)
    margin       what the difference may be
    runs         how many there were
    """

    bins: tuple[Outcome, ...]
    difference: np.ndarray
    uncertainty: np.ndarray
    margin: float
    runs: int

    @property
    def overall(self) -> Outcome:
        """Differs where any bin does, agrees where all do."""
        if "differs" in self.bins:
            return "differs"
        return "inconclusive" if "inconclusive" in self.bins else "agrees"

    @property
    def says(self) -> str:
        """The judgement in a sentence."""
        shown = [bin for bin, judgement in enumerate(self.bins) if judgement == self.overall]
        place = max(shown, key=lambda bin: np.nan_to_num(abs(self.difference[bin]), nan=np.inf))
        measured = f"{self.difference[place]:+.1%} with an uncertainty of {self.uncertainty[place]:.1%}"
        if self.overall == "agrees":
            return f"All bins are within {self.margin:.0%} of the reference; the largest difference is {measured}."
        if not np.isfinite(self.difference[place]):
            return f"The error of bin {place} is not finite in every run."
        if self.overall == "differs":
            return f"Bin {place} is off by {measured}; allowed is {self.margin:.0%}."
        return (
            f"Bin {place} is off by {measured}, too uncertain for {self.margin:.0%}; give more than {self.runs} runs."
        )


def judge(case: Case, errors: Any) -> CurveVerdict:
    """`errors` (runs, bins), the mean error of each run in each bin, against the reference's runs.

    Raises VerifyError for another number of bins, or too few runs.
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
    """`errors` as an array (runs, bins). Raises VerifyError for another shape, or for no numbers."""
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
