"""Judgments as text for readers and as JSON for other programs."""

import textwrap
from collections.abc import Sequence
from typing import Any

import minilop
from minilop.verify.case_files import finite, read_manifest
from minilop.verify.comparison import Difference
from minilop.verify.gaps import gaps
from minilop.verify.judging import Judgment, distinguishing_cases
from minilop.verify.mistakes.mistake import Mistake

WIDTH = 120
LABEL = 14  # width of the labels of a report, in characters
MANY = 3  # if more mistakes than this fit, the report lists only their names
OUTCOMES = {"agrees": "agree", "differs": "differ", "skipped": "skipped", "error": "with an error"}


def line(judgment: Judgment, width: int = 34) -> str:
    """The result of a case in one line."""
    return f"{judgment.outcome:8}  {judgment.case_id:{width}}  {_short_result(judgment)}".rstrip()


def details(judgment: Judgment, mode: str | None = None) -> str:
    """A paragraph about a case that differs.

    mode   of the run, for a hint; None if there is no choice of mode
    """
    assert judgment.case
    title = textwrap.fill(f"{judgment.case_id} differs: {judgment.case.comment}", WIDTH, subsequent_indent="  ")
    if judgment.verdict is None:  # of a curve
        return "\n".join([title, *_row("mean", judgment.reason), *_row("see", judgment.page)])
    assert judgment.verdict.difference
    difference = judgment.verdict.difference
    quantity, layer = quantity_and_layer(difference.name)
    where = f"{_step_word(judgment)} {difference.step} (counted from 0), phase {difference.phase}, {quantity}"
    where += f" of layer {layer}" if layer is not None else ""
    where += f", {entry_in_words(difference)}" if difference.index else ""
    rows = {
        "first": where,
        "expected": _number(judgment, difference.expected),
        "got": f"{_number(judgment, difference.got)}   (allowed: {_allowed(difference)})",
        "agreed before": _agreed_before(judgment),
        "coverage": _coverage(judgment),
        "mistake": _diagnosis(judgment, mode),
        **({"hint": "\n".join(judgment.hints)} if judgment.hints else {}),
        "see": judgment.page,
    }
    return "\n".join([title, *(line for label, text in rows.items() for line in _row(label, text))])


def _row(label: str, text: str) -> list[str]:
    """The lines of a label and its text; newlines in the text are kept."""
    lines = []
    for index, part in enumerate(text.split("\n")):
        start = f"  {'' if index else label:{LABEL}}"
        lines.append(
            textwrap.fill(part, WIDTH, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False)
        )
    return lines


def summary(judgments: Sequence[Judgment]) -> str:
    """The number of cases by outcome, the known mistakes that fit all cases that differ, and the gaps."""
    counts = {outcome: sum(each.outcome == outcome for each in judgments) for outcome in OUTCOMES}
    said = ", ".join(f"{count} {OUTCOMES[name]}" for name, count in counts.items() if count or name == "agrees")
    of_all = f"{len(judgments)} case{'s' * (len(judgments) != 1)}"
    return f"{of_all}: {said}.{_common_mistake(judgments)}{_gaps(judgments)}"


def _common_mistake(judgments: Sequence[Judgment]) -> str:
    named = [{mistake.name for mistake in each.mistakes} for each in judgments if each.outcome == "differs"]
    common = sorted(set.intersection(*named)) if len(named) > 1 else []
    return f"\nAll {len(named)} cases that differ fit {' or '.join(common)}." if common else ""


def _gaps(judgments: Sequence[Judgment]) -> str:
    if any(each.outcome == "differs" for each in judgments):
        return ""
    lines = []
    for name, found in gaps(judgments).items():
        brief = [each.split(" (")[0] for each in found]  # without the values
        is_long = len("; ".join(found)) > 2 * WIDTH - 30 and brief != found
        said = f"other values of {', '.join(brief)}" if is_long else "; ".join(found)
        sentence = textwrap.shorten(
            f"{name.capitalize().replace('_', ' ')}: {said}.", 2 * WIDTH - 4, placeholder=" ..."
        )
        lines += ["\n" + textwrap.fill(sentence, WIDTH, subsequent_indent="  ")] if found else []
    return "".join(lines)


def as_json(judgments: Sequence[Judgment], status: int, **facts: Any) -> dict[str, Any]:
    """The same facts for programs. `facts` are the options of the command; NaN and infinity become strings."""
    return {
        "minilop": minilop.__version__,
        "vectors": read_manifest().get("version", ""),
        **facts,
        "exit_status": status,
        **gaps(judgments),
        "cases": [_case_as_json(judgment) for judgment in judgments],
    }


def quantity_and_layer(name: str) -> tuple[str, int | None]:
    """The last two parts of "<phase>/<quantity>/<layer>"; a quantity may contain slashes and may have no layer."""
    *parts, last = name.split("/")[1:]
    return ("/".join(parts), int(last)) if last.isdecimal() else ("/".join([*parts, last]), None)


def entry_in_words(difference: Difference) -> str:
    """Names the entry of a quantity: the unit, and the input or the example."""
    index, unit = difference.index, unit_of(difference)
    quantity, _ = quantity_and_layer(difference.name)
    if unit is None:
        return f"entry {index[0] if len(index) == 1 else index}"
    if len(index) == 1:
        return f"unit {unit}"
    if "weight" in quantity:
        return f"unit {unit}, input {index[1]}" + (f", position {index[2:]}" if index[2:] else "")
    return f"unit {unit}, example {index[-1]}" + (f", position {index[1:-1]}" if index[1:-1] else "")


def unit_of(difference: Difference) -> int | None:
    """The unit of an entry; None if the quantity does not belong to the units of a layer."""
    quantity, layer = quantity_and_layer(difference.name)
    is_of_units = (layer is not None and quantity != "units_to_replace") or difference.name == "forward/outputs"
    return difference.index[0] if difference.index and is_of_units else None


def _short_result(judgment: Judgment) -> str:
    if judgment.verdict is None or judgment.case is None:
        return judgment.reason
    if judgment.verdict.difference is not None:
        difference = judgment.verdict.difference
        named = "perhaps " * bool(judgment.to_be_sure) + " or ".join(mistake.name for mistake in judgment.mistakes)
        return f"{_step_word(judgment)} {difference.step}, {difference.name}" + (f": {named}" if named else "")
    error = f"{_returned_fraction(judgment)}, largest error {judgment.verdict.largest_error:.1g} of the allowed error"
    missing = f"; not returned and therefore not judged: {', '.join(judgment.unjudged)}" if judgment.unjudged else ""
    return error + missing


def _returned_fraction(judgment: Judgment) -> str:
    assert judgment.case and judgment.verdict
    return f"{len(judgment.verdict.compared)} of {len(judgment.case.expected)} quantities"


def _coverage(judgment: Judgment) -> str:
    assert judgment.verdict
    missing = judgment.verdict.not_returned
    return f"{_returned_fraction(judgment)} were returned" + (
        f"; not {_by_phase(judgment, missing)}" if missing else ""
    )


def _agreed_before(judgment: Judgment) -> str:
    assert judgment.verdict and judgment.verdict.difference
    step, agreed = judgment.verdict.difference.step, judgment.verdict.agreed_before
    word = _step_word(judgment)
    before = {0: "", 1: f"{word} 0; "}.get(step, f"{word}s 0 to {step - 1}; ")
    return f"{before}of this {word} {_by_phase(judgment, agreed) or 'no returned quantity'}"


def _by_phase(judgment: Judgment, names: Sequence[str]) -> str:
    """The names; if all names of a phase are present, the name of the phase instead."""
    assert judgment.case
    whole = {
        phase
        for phase in judgment.case.phases
        if all(name in names for name in judgment.case.expected if name.split("/")[0] == phase)
    }
    return ", ".join(dict.fromkeys(name.split("/")[0] if name.split("/")[0] in whole else name for name in names))


def _step_word(judgment: Judgment) -> str:
    """The word for an entry of the trace: functions have instances instead of steps."""
    return "instance" if judgment.case and judgment.case.kind == "function" else "step"


def _diagnosis(judgment: Judgment, mode: str | None) -> str:
    more = f"Return {' and '.join(judgment.to_be_sure[:MANY])} to be sure." if judgment.to_be_sure else ""
    if len(judgment.mistakes) > MANY:
        names = ", ".join(mistake.name for mistake in judgment.mistakes)
        return f"one of {names}: too few quantities were returned to distinguish them. {more}".rstrip()
    if judgment.mistakes:
        said = [_known(judgment.mistakes, " fits what you returned" if more else "")]
        if len(judgment.mistakes) > 1:
            cases = distinguishing_cases(judgment.mistakes)
            others = ", ".join(cases) or "other cases, or more quantities returned,"
            said.append(f"They are indistinguishable in this case; {others} may distinguish them.")
        return "\n".join([*said, more]).rstrip()
    if judgment.resembles:
        more = "The match ends after this step. It is not this mistake, or not this mistake alone."
        return f"{_known(judgment.resembles)}\n{more}"
    nothing = f"none of the {judgment.tried} known mistakes possible in this case fits"
    has_state = bool(judgment.case and judgment.case.initial_state)
    return nothing + ("; --mode resync judges each step separately" if mode == "free" and has_state else "")


def _known(mistakes: Sequence[Mistake], fits: str = "") -> str:
    return "\n".join(f"{mistake.name}{fits}: {mistake.says} ({mistake.page})" for mistake in mistakes)


def _allowed(difference: Difference) -> str:
    return f"an error of {difference.allowed:.2g}" if difference.allowed else "none, because it is a choice or a count"


def _number(judgment: Judgment, value: float) -> str:
    assert judgment.case and judgment.verdict and judgment.verdict.difference
    is_choice = judgment.case.expected[judgment.verdict.difference.name].dtype == bool
    return str(bool(value)) if is_choice and value in (0, 1) else f"{value:.12g}"


def _case_as_json(judgment: Judgment) -> dict[str, Any]:
    found: dict[str, Any] = {"case": judgment.case_id, "outcome": judgment.outcome}
    if judgment.verdict is None:
        return {**found, "reason": judgment.reason, "page": judgment.page}
    verdict = judgment.verdict
    found |= {
        "compared": list(verdict.compared),
        "not_returned": list(verdict.not_returned),
        "largest_error": finite(verdict.largest_error),
        "unjudged": list(judgment.unjudged),
    }
    if (difference := verdict.difference) is None:
        return found
    return found | {
        "step": difference.step,
        "phase": difference.phase,
        "quantity": difference.name,
        "unit": unit_of(difference),
        "place": list(difference.index),
        "expected": finite(difference.expected),
        "got": finite(difference.got),
        "allowed": difference.allowed,
        "agreed_before": list(verdict.agreed_before),
        "mistakes": [_mistake_as_json(mistake) for mistake in judgment.mistakes],
        "resembles": [_mistake_as_json(mistake) for mistake in judgment.resembles],
        "to_be_sure": list(judgment.to_be_sure),
        "hints": list(judgment.hints),
        "page": judgment.page,
    }


def _mistake_as_json(mistake: Mistake) -> dict[str, str]:
    return {"name": mistake.name, "says": mistake.says, "page": mistake.page}
