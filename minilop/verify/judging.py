"""One judgment per case: whether an implementation agrees, where it first differs, and which known mistake fits."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from minilop.verify.adapter import Mode, NotCovered, check_array, check_methods, full_name, make_adapter, run_adapter
from minilop.verify.case import Arrays, Case, VerifyError
from minilop.verify.case_files import case_ids, choose_cases, load_case, read_arrays
from minilop.verify.comparison import Verdict, compare, is_correct
from minilop.verify.curves import judge as judge_curve
from minilop.verify.diagnosis import diagnose, mistaken_trace, possible_mistakes
from minilop.verify.mistakes.mistake import Mistake
from minilop.verify.pages import OTHER, page_of

Outcome = Literal["agrees", "differs", "skipped", "error"]


@dataclass(frozen=True)
class Judgment:
    """The result of a case.

    outcome     "agrees", "differs", "skipped" (not supported by the adapter) or "error" (nothing to compare)
    reason      a sentence for the last two outcomes, and for a curve, which has no verdict
    mistakes    known mistakes whose whole trace equals the returned quantities
    resembles   if there are none: known mistakes whose trace equals them up to the step of the first difference
    tried       the number of known mistakes that were compared
    unjudged    in the mode resync: state that was not returned and therefore not checked
    to_be_sure  if few quantities were returned: other quantities that would reveal the mistakes
    hints       other possible causes, in sentences
    page        a file of minilop that explains what differs
    """

    case_id: str
    outcome: Outcome
    reason: str = ""
    case: Case | None = None
    verdict: Verdict | None = None
    mistakes: tuple[Mistake, ...] = ()
    resembles: tuple[Mistake, ...] = ()
    tried: int = 0
    unjudged: tuple[str, ...] = ()
    to_be_sure: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    page: str = ""


def judge(
    adapter: Callable[[], Any], names: Sequence[str], suites: Sequence[str], mode: Mode, dtype: str
) -> Iterator[Judgment]:
    """Judge an implementation on the named cases and suites, or on all. An error in one case does not stop the others.

    adapter   makes an adapter; each case gets a new one

    Raises VerifyError for an unknown name, and for an adapter that cannot be judged on any case.
    """
    chosen = choose_cases(names, suites)
    check_methods(make_adapter(adapter), mode)
    return (judge_case(adapter, case_id, mode, dtype) for case_id in chosen)


def judge_case(adapter: Callable[[], Any], case_id: str, mode: Mode = "free", dtype: str = "float64") -> Judgment:
    """Judge an implementation on one case."""

    def answer(case: Case) -> Arrays:
        return run_adapter(make_adapter(adapter), case, mode)

    return _judged(case_id, answer, mode, dtype)


def judge_file(case_id: str, path: Path, dtype: str = "float64") -> Judgment:
    """Judge the arrays (T, ...) that an implementation in any language has written to an .npz or .json file."""
    return _judged(case_id, lambda case: read_answer(case, path), "free", dtype)


def read_answer(case: Case, path: Path) -> Arrays:
    """The arrays of a file by full name, in order. Raises VerifyError for an unknown name and for a wrong shape."""
    arrays: Arrays = {}
    for written, array in read_arrays(path).items():
        name = full_name(case, written)
        if name in arrays:
            raise VerifyError(f"{path} has {name} both with and without its phase; write it once.")
        is_curve = case.kind == "curve"  # any number of runs
        arrays[name] = array if is_curve else check_array(case, name, array, str(path), case.steps)
    return {name: arrays[name] for name in case.expected if name in arrays}


def exit_status(judgments: Sequence[Judgment], named: Sequence[str] = (), suites: Sequence[str] = ()) -> int:
    """0 if some case agrees and there is no other problem, 1 if a case differs, otherwise 2.

    2 means that something could not be judged: there was an error, a case or a whole suite requested by name was
    skipped, or the implementation supports no case. A check that has compared nothing therefore does not pass.
    """
    outcomes = [each.outcome for each in judgments]
    if "differs" in outcomes:
        return 1
    skipped = {each.case_id for each in judgments if each.outcome == "skipped"}
    known_suites = {each.case_id.split("/")[0] for each in judgments if each.case_id not in skipped}
    missed = skipped.intersection(named) or set(suites) - known_suites
    return 2 if missed or "error" in outcomes or "agrees" not in outcomes else 0


def distinguishing_cases(mistakes: Sequence[Mistake]) -> list[str]:
    """Cases designed to catch some of these mistakes, but not all of them."""
    names = {mistake.name for mistake in mistakes}
    flags = {case_id: names.intersection(load_case(case_id).flags) for case_id in case_ids()}
    return [case_id for case_id, caught in flags.items() if caught and caught != names]


def _judged(case_id: str, answer: Callable[[Case], Arrays], mode: Mode, dtype: str) -> Judgment:
    case = None
    try:
        case = load_case(case_id).cast(dtype)
        actual = answer(case)
        if not actual:
            raise VerifyError(
                f"{case_id}: nothing was returned; `python -m minilop.verify explain {case_id}` lists the quantities."
            )
        if case.kind == "curve":
            return _judged_curve(case, actual)
        verdict = compare(case, actual)
    except NotCovered as sentence:
        return Judgment(case_id, "skipped", str(sentence), case)
    except VerifyError as sentence:
        return Judgment(case_id, "error", str(sentence), case)
    except Exception as problem:  # noqa: BLE001 - a defect of the kit; the other cases are still judged
        return Judgment(case_id, "error", f"{case_id} cannot be judged ({type(problem).__name__}: {problem}).", case)
    if verdict.difference is None:
        return Judgment(case_id, "agrees", case=case, verdict=verdict, unjudged=_unjudged(case, actual, mode))
    found, resembles = diagnose(case, actual, mode)
    step, name = verdict.difference.step, verdict.difference.name
    is_late = is_correct(case, case.final_name(name), step, actual[name])
    return Judgment(
        case_id,
        "differs",
        case=case,
        verdict=verdict,
        mistakes=tuple(found),
        resembles=tuple(resembles),
        tried=len(possible_mistakes(case)),
        to_be_sure=_to_be_sure(case, verdict, found, mode),
        hints=tuple(_hints(case, actual, name if is_late else "")),
        page=found[0].page if len(found) == 1 else OTHER if is_late else page_of(case, name),
    )


def _to_be_sure(case: Case, verdict: Verdict, mistakes: Sequence[Mistake], mode: Mode) -> tuple[str, ...]:
    """The first missing quantity that would reveal each mistake; empty if at least half of all were returned."""
    if 2 * len(verdict.compared) >= len(case.expected):
        return ()
    traces = [mistaken_trace(case, mistake, mode) for mistake in mistakes]
    shown = [compare(case, {name: trace[name] for name in verdict.not_returned if name in trace}) for trace in traces]
    return tuple(dict.fromkeys(each.difference.name for each in shown if each.difference))


def _hints(case: Case, actual: Arrays, late: str) -> Iterator[str]:
    if late:
        yield f"{late} has the values of {case.final_name(late)}; return a copy if a later phase changes the array"
    floating = [each for each in actual if actual[each].dtype.kind == "f"]
    rough = [each for each in floating if actual[each].dtype.itemsize < np.dtype(case.dtype).itemsize]
    if rough == floating and all(actual[each].dtype == np.float32 for each in rough) and rough:
        yield "the returned arrays are float32; try --dtype float32"
    elif rough:
        yield f"{', '.join(f'{each} is {actual[each].dtype}' for each in rough)}, less precise than {case.dtype}"


def _unjudged(case: Case, actual: Arrays, mode: Mode) -> tuple[str, ...]:
    if mode == "free":  # a wrong state is visible in later steps
        return ()
    return tuple(name for name in case.initial_state if case.final_names[name] not in actual)


def _judged_curve(case: Case, actual: Arrays) -> Judgment:
    """Compare means over runs. If they are too uncertain, the outcome is an error, not agreement."""
    if list(actual) != ["curve/error"]:
        raise VerifyError(
            f"{case.id} is judged only by curve/error (runs, bins); return that, not {', '.join(actual)}."
        )
    found = judge_curve(case, actual["curve/error"])
    outcome: Outcome = "error" if found.overall == "inconclusive" else found.overall
    return Judgment(case.id, outcome, found.says, case, page=page_of(case, "curve/error"))
