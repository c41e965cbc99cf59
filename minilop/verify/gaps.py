"""What the agreement does not cover: conventions of other cases in the same suites, and quantities never returned."""

from collections.abc import Iterator, Sequence

from minilop.verify.case import Case, last_quantity
from minilop.verify.case_files import load_cases
from minilop.verify.judging import Judgment


def gaps(judgments: Sequence[Judgment]) -> dict[str, list[str]]:
    """What the cases that agree do not cover.

    not_exercised    traits of other cases in their suites that none of these cases has: "loss (cross_entropy)"
    never_returned   quantities that were compared in none of the cases; those of the state come first
    """
    agreed = [each.case for each in judgments if each.outcome == "agrees" and each.verdict and each.case]
    exercised = {trait for case in agreed for trait in traits(case)}
    missing: dict[str, list[str]] = {name: [] for case in agreed for name, _ in traits(case)}
    for suite in dict.fromkeys(case.suite for case in agreed):
        for name, value in (trait for case in load_cases(suite) for trait in traits(case) if trait not in exercised):
            missing.setdefault(name, []).append(value)
    compared = {last_quantity(name) for each in judgments if each.verdict for name in each.verdict.compared}
    available = [last_quantity(name) for case in agreed for name in (*case.initial_state, *case.expected)]
    return {
        "not_exercised": [f"{name} ({', '.join(dict.fromkeys(found))})" for name, found in missing.items() if found],
        "never_returned": [name for name in dict.fromkeys(available) if name not in compared],
    }


def traits(case: Case) -> Iterator[tuple[str, str]]:
    """The properties that may distinguish a case from others in its suite: pairs of a name and a value."""
    replaced = [array.sum(axis=1).max() for name, array in case.expected.items() if last_quantity(name) == "replaced"]
    counts = {"units replaced at once": max(replaced, default=0), "examples at once": case.sizes.get("batch", 0)}
    yield from ((name, "several" if count > 1 else "one") for name, count in counts.items() if count)
    for name, value in {"network": case.sizes.get("network"), **case.settings}.items():
        yield name, str(value) if type(value) not in (int, float) else "above 0" if value else "0"
