"""Compares the results of an implementation with the expected results, number by number.

The allowed error is `tolerance` times the largest magnitude of the quantity in the whole case, or `tolerance` itself
if that magnitude is 0. A number close to 0 thus need not be more accurate than its neighbors. Choices (bool) and
counts (integers) must be equal.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from minilop.verify.case import Arrays, Case


@dataclass(frozen=True)
class Difference:
    """The first wrong number, in the order of steps, then quantities, then entries."""

    step: int
    name: str  # "<phase>/<quantity>/<layer>"
    index: tuple[int, ...]  # of the entry; for quantities of units, the unit comes first
    expected: float
    got: float
    allowed: float  # the largest error that counts as rounding

    @property
    def phase(self) -> str:
        return self.name.split("/")[0]


@dataclass(frozen=True)
class Verdict:
    """The result of a comparison."""

    difference: Difference | None
    compared: tuple[str, ...]  # names of the returned quantities
    not_returned: tuple[str, ...]
    agreed_before: tuple[str, ...]  # names of the correct quantities before the difference, in the same step
    largest_error: float  # relative to the allowed error, up to the difference

    @property
    def agrees(self) -> bool:
        return self.difference is None


def compare(case: Case, actual: Mapping[str, np.ndarray], expected: Arrays | None = None) -> Verdict:
    """Compare `actual` (T, ...) with the expected results of the case, or with another trace of it."""
    expected = case.expected if expected is None else expected
    compared = [name for name in case.expected if name in actual and name in expected]
    correct = {name: _correct_steps(case, actual[name], expected[name]) for name in compared}
    first_errors = [np.argmin(each) for each in correct.values() if not each.all()]
    difference, agreed = None, compared
    last = case.steps
    if first_errors:
        last = int(min(first_errors))
        at = next(index for index, name in enumerate(compared) if not correct[name][last])
        agreed = compared[:at]
        difference = _first_difference(case, last, compared[at], actual[compared[at]][last], expected[compared[at]])
    largest = max((_relative_error(case, actual[name][:last], expected[name][:last]) for name in compared), default=0.0)
    missing = tuple(name for name in case.expected if name not in actual)
    return Verdict(difference, tuple(compared), missing, tuple(agreed), largest)


def allowed_error(case: Case, expected: np.ndarray) -> float:
    """The allowed error of the entries of a quantity (T, ...); 0 for choices and counts."""
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


def is_correct(case: Case, name: str, step: int, actual: np.ndarray) -> bool:
    """Whether `actual` (T, ...) agrees with the case in the quantity `name` at a step."""
    return not _wrong(actual[step], case.expected[name][step], allowed_error(case, case.expected[name])).any()


def _correct_steps(case: Case, actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Whether all entries are correct, step by step, (T,)."""
    are_wrong = _wrong(actual, expected, allowed_error(case, expected))
    return np.asarray(~are_wrong.reshape(len(are_wrong), -1).any(axis=-1))


def _first_difference(case: Case, step: int, name: str, actual: np.ndarray, expected: np.ndarray) -> Difference:
    allowed = allowed_error(case, expected)
    index = tuple(int(each) for each in np.argwhere(_wrong(actual, expected[step], allowed))[0])
    return Difference(step, name, index, float(expected[step][index]), float(actual[index]), allowed)


def _relative_error(case: Case, actual: np.ndarray, expected: np.ndarray) -> float:
    allowed = allowed_error(case, expected)
    if not allowed or not actual.size:
        return 0.0
    with np.errstate(invalid="ignore"):
        error = abs(actual.astype(float) - expected.astype(float))
    return float(np.nan_to_num(error, posinf=0.0).max()) / allowed
