"""Judgements as lines to read, and as JSON for other programs."""

import textwrap
from collections.abc import Sequence
from typing import Any

import minilop
from minilop.verify.case import finite, read_manifest
from minilop.verify.comparison import Difference
from minilop.verify.gaps import gaps
from minilop.verify.judging import Judgement, telling_cases
from minilop.verify.mistakes.mistake import Mistake

WIDTH = 120
LABEL = 14  # width of the labels of a report, in characters
MANY = 3  # of more mistakes that look the same, the report gives only the names
OUTCOMES = {"agrees": "agree", "differs": "differ", "skipped": "skipped", "error": "with an error"}


def line(judgement: Judgement, width: int = 34) -> str:
    """One line for a case."""
    return f"{judgement.outcome:8}  {judgement.case_id:{width}}  {_in_short(judgement)}".rstrip()


def details(judgement: Judgement, mode: str | None = None) -> str:
    """A paragraph about a case that differs.

    mode   of the run, for a hint; None if there is no choice
    """
    assert judgement.case
    title = textwrap.fill(f"{judgement.case_id} differs: {judgement.case.comment}", WIDTH, subsequent_indent="  ")
    if judgement.verdict is None:  # of a curve
        return "\n".join([title, *_row("mean", judgement.reason), *_row("see", judgement.page)])
    assert judgement.verdict.difference
    difference = judgement.verdict.difference
    quantity, layer = quantity_and_layer(difference.name)
    where = f"{_step_word(judgement)} {difference.step} (counted from 0), phase {difference.phase}, {quantity}"
    where += f" of layer {layer}" if layer is not None else ""
    where += f", {place_in_words(difference)}" if difference.place else ""
    rows = {
        "first": where,
        "expected": _number(judgement, difference.expected),
        "got": f"{_number(judgement, difference.got)}   (allowed: {_allowed(difference)})",
        "right before": _agreed_before(judgement),
        "coverage": _coverage(judgement),
        "mistake": _diagnosis(judgement, mode),
        **({"hint": "\n".join(judgement.hints)} if judgement.hints else {}),
        "see": judgement.page,
    }
    return "\n".join([title, *(line for label, text in rows.items() for line in _row(label, text))])


def _row(label: str, text: str) -> list[str]:
    """The lines of a label and its text; line feeds in the text are kept."""
    lines = []
    for index, part in enumerate(text.split("\n")):
        start = f"  {'' if index else label:{LABEL}}"
        lines.append(
            textwrap.fill(part, WIDTH, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False)
        )
    return lines


def summary(judgements: Sequence[Judgement]) -> str:
    """The number of cases by outcome; known mistakes that fit all cases that differ; what agreement leaves open."""
    counts = {outcome: sum(each.outcome == outcome for each in judgements) for outcome in OUTCOMES}
    said = ", ".join(f"{count} {OUTCOMES[name]}" for name, count in counts.items() if count or name == "agrees")
    of_all = f"{len(judgements)} case{'s' * (len(judgements) != 1)}"
    return f"{of_all}: {said}.{_common_mistake(judgements)}{_gaps(judgements)}"


def _common_mistake(judgements: Sequence[Judgement]) -> str:
    named = [{mistake.name for mistake in each.mistakes} for each in judgements if each.outcome == "differs"]
    common = sorted(set.intersection(*named)) if len(named) > 1 else []
    return f"\nAll {len(named)} cases that differ fit {' or '.join(common)}." if common else ""


def _gaps(judgements: Sequence[Judgement]) -> str:
    if any(each.outcome == "differs" for each in judgements):
        return ""
    lines = []
    for name, found in gaps(judgements).items():
        brief = [each.split(" (")[0] for each in found]  # without the values
        is_long = len("; ".join(found)) > 2 * WIDTH - 30 and brief != found
        said = f"other values of {', '.join(brief)}" if is_long else "; ".join(found)
        sentence = textwrap.shorten(
            f"{name.capitalize().replace('_', ' ')}: {said}.", 2 * WIDTH - 4, placeholder=" ..."
        )
        lines += ["\n" + textwrap.fill(sentence, WIDTH, subsequent_indent="  ")] if found else []
    return "".join(lines)


def as_json(judgements: Sequence[Judgement], status: int, **facts: Any) -> dict[str, Any]:
    """The same facts for programs; `facts` are the options of the command. NaN and infinity are texts."""
    return {
        "minilop": minilop.__version__,
        "vectors": read_manifest().get("version", ""),
        **facts,
        "exit_status": status,
        **gaps(judgements),
        "cases": [_case_as_json(judgement) for judgement in judgements],
    }


def quantity_and_layer(name: str) -> tuple[str, int | None]:
    """Both parts of "<phase>/<quantity>/<layer>"; a quantity may contain slashes, and some have no layer."""
    *parts, last = name.split("/")[1:]
    return ("/".join(parts), int(last)) if last.isdecimal() else ("/".join([*parts, last]), None)


def place_in_words(difference: Difference) -> str:
    """Which entry of a quantity it is: the unit, and the input or the example."""
    place, unit = difference.place, unit_of(difference)
    quantity, _ = quantity_and_layer(difference.name)
    if unit is None:
        return f"entry {place[0] if len(place) == 1 else place}"
    if len(place) == 1:
        return f"unit {unit}"
    if "weight" in quantity:
        return f"unit {unit}, input {place[1]}" + (f", place {place[2:]}" if place[2:] else "")
    return f"unit {unit}, example {place[-1]}" + (f", place {place[1:-1]}" if place[1:-1] else "")


def unit_of(difference: Difference) -> int | None:
    """The unit to which an entry belongs; None if the quantity does not belong to units of a layer."""
    quantity, layer = quantity_and_layer(difference.name)
    is_of_units = (layer is not None and quantity != "units_to_replace") or difference.name == "forward/outputs"
    return difference.place[0] if difference.place and is_of_units else None


def _in_short(judgement: Judgement) -> str:
    if judgement.verdict is None or judgement.case is None:
        return judgement.reason
    if judgement.verdict.difference is not None:
        difference = judgement.verdict.difference
        named = "perhaps " * bool(judgement.to_be_sure) + " or ".join(mistake.name for mistake in judgement.mistakes)
        return f"{_step_word(judgement)} {difference.step}, {difference.name}" + (f": {named}" if named else "")
    error = f"{_share(judgement)}, largest error {judgement.verdict.largest_error:.1g} of what is allowed"
    missing = f"; not returned and so not judged: {', '.join(judgement.unjudged)}" if judgement.unjudged else ""
    return error + missing


def _share(judgement: Judgement) -> str:
    assert judgement.case and judgement.verdict
    return f"{len(judgement.verdict.compared)} of {len(judgement.case.expected)} quantities"


def _coverage(judgement: Judgement) -> str:
    assert judgement.verdict
    missing = judgement.verdict.not_returned
    return f"{_share(judgement)} were returned" + (f"; not {_by_phase(judgement, missing)}" if missing else "")


def _agreed_before(judgement: Judgement) -> str:
    assert judgement.verdict and judgement.verdict.difference
    step, agreed = judgement.verdict.difference.step, judgement.verdict.agreed_before
    word = _step_word(judgement)
    before = {0: "", 1: f"{word} 0; "}.get(step, f"{word}s 0 to {step - 1}; ")
    return f"{before}of this {word} {_by_phase(judgement, agreed) or 'nothing that was returned'}"


def _by_phase(judgement: Judgement, names: Sequence[str]) -> str:
    """The names; where all names of a phase are present, the name of the phase instead."""
    assert judgement.case
    whole = {
        phase
        for phase in judgement.case.phases
        if all(name in names for name in judgement.case.expected if name.split("/")[0] == phase)
    }
    return ", ".join(dict.fromkeys(name.split("/")[0] if name.split("/")[0] in whole else name for name in names))


def _step_word(judgement: Judgement) -> str:
    """What an entry of the trace is called: a function has instances, not steps."""
    return "instance" if judgement.case and judgement.case.kind == "function" else "step"


def _diagnosis(judgement: Judgement, mode: str | None) -> str:
    more = f"Return {' and '.join(judgement.to_be_sure[:MANY])} to be sure." if judgement.to_be_sure else ""
    if len(judgement.mistakes) > MANY:
        names = ", ".join(mistake.name for mistake in judgement.mistakes)
        return f"one of {names}: too little was returned to tell them apart. {more}".rstrip()
    if judgement.mistakes:
        said = [_known(judgement.mistakes, " fits what you returned" if more else "")]
        if len(judgement.mistakes) > 1:
            cases = telling_cases(judgement.mistakes)
            others = ", ".join(cases) or "other cases, or more quantities returned,"
            said.append(f"In this case they look the same; {others} may tell them apart.")
        return "\n".join([*said, more]).rstrip()
    if judgement.resembles:
        more = "So it looks up to this step; later steps differ, so there is more than this."
        return f"{_known(judgement.resembles)}\n{more}"
    nothing = f"none of the {judgement.tried} known mistakes that this case can show looks like this"
    has_state = bool(judgement.case and judgement.case.initial_state)
    return nothing + ("; --mode resync judges each step by itself" if mode == "free" and has_state else "")


def _known(mistakes: Sequence[Mistake], fits: str = "") -> str:
    return "\n".join(f"{mistake.name}{fits}: {mistake.says} ({mistake.page})" for mistake in mistakes)


def _allowed(difference: Difference) -> str:
    return f"an error of {difference.allowed:.2g}" if difference.allowed else "no error, it is a choice or a count"


def _number(judgement: Judgement, value: float) -> str:
    assert judgement.case and judgement.verdict and judgement.verdict.difference
    is_choice = judgement.case.expected[judgement.verdict.difference.name].dtype == bool
    return str(bool(value)) if is_choice and value in (0, 1) else f"{value:.12g}"


def _case_as_json(judgement: Judgement) -> dict[str, Any]:
    found: dict[str, Any] = {"case": judgement.case_id, "outcome": judgement.outcome}
    if judgement.verdict is None:
        return {**found, "reason": judgement.reason, "page": judgement.page}
    verdict = judgement.verdict
    found |= {
        "compared": list(verdict.compared),
        "not_returned": list(verdict.not_returned),
        "largest_error": finite(verdict.largest_error),
        "unjudged": list(judgement.unjudged),
    }
    if (difference := verdict.difference) is None:
        return found
    return found | {
        "step": difference.step,
        "phase": difference.phase,
        "quantity": difference.name,
        "unit": unit_of(difference),
        "place": list(difference.place),
        "expected": finite(difference.expected),
        "got": finite(difference.got),
        "allowed": difference.allowed,
        "agreed_before": list(verdict.agreed_before),
        "mistakes": [_mistake_as_json(mistake) for mistake in judgement.mistakes],
        "resembles": [_mistake_as_json(mistake) for mistake in judgement.resembles],
        "to_be_sure": list(judgement.to_be_sure),
        "hints": list(judgement.hints),
        "page": judgement.page,
    }


def _mistake_as_json(mistake: Mistake) -> dict[str, str]:
    return {"name": mistake.name, "says": mistake.says, "page": mistake.page}
