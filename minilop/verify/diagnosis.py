"""Identifies known mistakes: runs the case with each of them and compares the traces with the user's trace.

Most mistakes can be ruled out at the step at which the user's trace first differs. Every mistake is therefore run up to
that step, and the whole case is run only with the mistakes that still match.
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
    """The known mistakes whose trace equals `actual` in all its quantities.

    If there are none, the second list has those whose trace equals it up to the first difference. Mistakes that change
    none of these quantities in this case are excluded.
    """
    with np.errstate(all="ignore"):  # a mistake may well cause an overflow
        similar = similar_mistakes(case, actual, mode)
        found = matching_mistakes(case, actual, similar, mode)
    return found, [] if found else similar


def similar_mistakes(case: Case, actual: Arrays, mode: Mode = "free") -> list[Mistake]:
    """The mistakes whose trace equals `actual` up to and including the step of the first difference.

    The trace must contain the quantity that differs first; otherwise there would be no evidence for the mistake.
    """
    difference = compare(case, actual).difference
    if difference is None:
        return []
    beginning = first_steps(case, difference.step + 1)
    actual = _sliced(actual, beginning.steps)
    traces = [(mistake, run_adapter(mistake.make(), beginning, mode)) for mistake in possible_mistakes(case)]
    return [
        mistake for mistake, trace in traces if difference.name in trace and compare(beginning, actual, trace).agrees
    ]


def possible_mistakes(case: Case) -> list[Mistake]:
    """The mistakes that are possible in a case."""
    return [mistake for mistake in MISTAKES.values() if mistake.kind == case.kind and mistake.applies(case)]


def matching_mistakes(case: Case, actual: Arrays, mistakes: Sequence[Mistake], mode: Mode = "free") -> list[Mistake]:
    """Those of the mistakes whose whole trace equals `actual`."""
    return [each for each in mistakes if compare(case, actual, mistaken_trace(case, each, mode)).agrees]


def mistaken_trace(case: Case, mistake: Mistake, mode: Mode = "free") -> Arrays:
    """The trace of the reference with this mistake."""
    return run_adapter(mistake.make(), case, mode)


def first_steps(case: Case, steps: int) -> Case:
    """The case cut off after this number of steps."""
    inputs = {name: array if name.startswith("state/") else array[:steps] for name, array in case.inputs.items()}
    return replace(case, steps=steps, inputs=inputs, expected=_sliced(case.expected, steps))


def _sliced(arrays: Arrays, steps: int) -> Arrays:
    return {name: array[:steps] for name, array in arrays.items()}
