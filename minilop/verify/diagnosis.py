"""Which known mistake is it? The reference plays the case with each of them, and the user's trace is compared with all.

Most are told apart by the step at which the user's trace first differs, so this much is played of all of them, and the
whole case only of those that still look like it.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from minilop.verify.adapter import Mode, run_adapter
from minilop.verify.case import Arrays, Case
from minilop.verify.comparison import compare
from minilop.verify.mistakes import MISTAKES
from minilop.verify.mistakes.mistake import Mistake


def diagnose(case: Case, actual: Arrays, mode: Mode = "free") -> tuple[list[Mistake], list[Mistake]]:
    """Known mistakes with which the reference returns what `actual` is, in every quantity that it has; and where there are
    none, those with which it does so up to the first difference.

    Mistakes that change none of these quantities in this case are left out.
    """
    with np.errstate(all="ignore"):  # what a mistake makes overflow is no news
        similar = similar_mistakes(case, actual, mode)
        found = of_whole_trace(case, actual, similar, mode)
    return found, [] if found else similar


def similar_mistakes(case: Case, actual: Arrays, mode: Mode = "free") -> list[Mistake]:
    """Those with which the reference returns what `actual` is up to the step at which it first differs, that included.

    What differs first must be among what it returns: else nothing would speak for the mistake.
    """
    difference = compare(case, actual).difference
    if difference is None:
        return []
    begun = first_steps(case, difference.step + 1)
    actual = _sliced(actual, begun.steps)
    traces = [(mistake, run_adapter(mistake.make(), begun, mode)) for mistake in possible_mistakes(case)]
    return [mistake for mistake, trace in traces if difference.name in trace and compare(begun, actual, trace).agrees]


def possible_mistakes(case: Case) -> list[Mistake]:
    """Those that can be made in a case."""
    return [mistake for mistake in MISTAKES.values() if mistake.kind == case.kind and mistake.applies(case)]


def of_whole_trace(case: Case, actual: Arrays, mistakes: Sequence[Mistake], mode: Mode = "free") -> list[Mistake]:
    """Of some mistakes those whose trace is `actual`."""
    return [each for each in mistakes if compare(case, actual, mistaken_trace(case, each, mode)).agrees]


def mistaken_trace(case: Case, mistake: Mistake, mode: Mode = "free") -> Arrays:
    """What the reference returns that makes this mistake."""
    return run_adapter(mistake.make(), case, mode)


def first_steps(case: Case, steps: int) -> Case:
    """The case as if it ended after so many steps."""
    inputs = {name: array if name.startswith("state/") else array[:steps] for name, array in case.inputs.items()}
    return replace(case, steps=steps, inputs=inputs, expected=_sliced(case.expected, steps))


def _sliced(arrays: Arrays, steps: int) -> Arrays:
    return {name: array[:steps] for name, array in arrays.items()}
