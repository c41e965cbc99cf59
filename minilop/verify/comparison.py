"""Is it the same? What an implementation returned against what is expected, number by number.

A number may be off by `tolerance` times the largest magnitude of its quantity in the whole case (or by `tolerance`
itself if that is 0), so a number that happens to be almost 0 need not be more exact than its neighbors. Choices (bool)
and counts (integers) must be equal.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from minilop.verify.case import Arrays, Case


@dataclass(frozen=True)
class Difference:
    """The first number that is off, in the order of steps, then of quantities, then of entries."""

    step: int
    name: str  # "<phase>/<quantity>/<layer>"
    place: tuple[int, ...]  # of the entry: of what units have, the unit first
    expected: float
    got: float
    allowed: float  # largest difference that would have been taken for rounding

    @property
    def phase(self) -> str:
        return self.name.split("/")[0]


@dataclass(frozen=True)
class Verdict:
    """What a comparison found."""

    difference: Difference | None
    compared: tuple[str, ...]  # names of what was returned
    not_returned: tuple[str, ...]
    agreed_before: tuple[str, ...]  # names that came before the difference in its step, and were right
    largest_error: float  # as a share of what is allowed, up to the difference

    @property
    def agrees(self) -> bool:
        return self.difference is None


def compare(case: Case, actual: Mapping[str, np.ndarray], expected: Arrays | None = None) -> Verdict:
    """`actual` (T, ...) against what the case expects, or against another trace of it."""
    expected = case.expected if expected is None else expected
    compared = [name for name in case.expected if name in actual and name in expected]
    right = {name: _right(case, actual[name], expected[name]) for name in compared}
    steps_of_errors = [np.argmin(each) for each in right.values() if not each.all()]
    difference, agreed = None, compared
    last = case.steps
    if steps_of_errors:
        last = int(min(steps_of_errors))
        at = next(place for place, name in enumerate(compared) if not right[name][last])
        agreed = compared[:at]
        difference = _first(case, last, compared[at], actual[compared[at]][last], expected[compared[at]])
    share = max((_share(case, actual[name][:last], expected[name][:last]) for name in compared), default=0.0)
    missing = tuple(name for name in case.expected if name not in actual)
    return Verdict(difference, tuple(compared), missing, tuple(agreed), share)


def allowed_error(case: Case, expected: np.ndarray) -> float:
    """How far entries of a quantity (T, ...) may be off; 0 for choices and counts."""
    if expected.dtype.kind != "f":
        return 0.0
    finite = abs(expected[np.isfinite(expected)])
    return case.tolerance * float(finite.max(initial=0.0)) or case.tolerance


def _wrong(actual: np.ndarray, expected: np.ndarray, allowed: float) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        near = abs(actual.astype(float) - expected.astype(float)) <= allowed
    return np.asarray(~(near | (actual == expected) | (_is_nan(actual) & _is_nan(expected))))


def _is_nan(values: np.ndarray) -> np.ndarray:
    return np.isnan(values.astype(float))


def is_right(case: Case, name: str, step: int, actual: np.ndarray) -> bool:
    """Whether `actual` (T, ...) has at a step what the case expects of the quantity `name`."""
    return not _wrong(actual[step], case.expected[name][step], allowed_error(case, case.expected[name])).any()


def _right(case: Case, actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Whether all entries are right, step by step, (T,)."""
    are_wrong = _wrong(actual, expected, allowed_error(case, expected))
    return np.asarray(~are_wrong.reshape(len(are_wrong), -1).any(axis=-1))


def _first(case: Case, step: int, name: str, actual: np.ndarray, expected: np.ndarray) -> Difference:
    allowed = allowed_error(case, expected)
    place = tuple(int(index) for index in np.argwhere(_wrong(actual, expected[step], allowed))[0])
    return Difference(step, name, place, float(expected[step][place]), float(actual[place]), allowed)


def _share(case: Case, actual: np.ndarray, expected: np.ndarray) -> float:
    allowed = allowed_error(case, expected)
    if not allowed or not actual.size:
        return 0.0
    with np.errstate(invalid="ignore"):
        error = abs(actual.astype(float) - expected.astype(float))
    return float(np.nan_to_num(error, posinf=0.0).max()) / allowed
