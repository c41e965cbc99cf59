"""The texts of `--list` and `--status`."""

import dataclasses
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from minilop.experiment.blocks import Standing
from minilop.experiment.problem import Problem
from minilop.experiment.settings import show


def describe(problems: Mapping[str, Problem], learners: Sequence[str] = ()) -> Iterable[str]:
    """Lines that show each problem, its settings at each scale, and what the learners change.

    In full those `learners` that are named, or else those that run by default; the others by their names.
    """
    for name, problem in problems.items():
        scales = list(problem.SCALES.values())
        every = list(scales[0].learners)
        defaults = {scale_name: scale.default_learners for scale_name, scale in problem.SCALES.items()}
        by_default = {learner for names in defaults.values() for learner in names}
        shown = [learner for learner in every if learner in (learners or by_default)]
        yield f"{name}: {problem.TITLE}"
        yield ""
        rows = [["", *problem.SCALES]]
        rows += [["runs of each learner", *(str(scale.runs) for scale in scales)]]
        rows += _settings_rows([scale.settings for scale in scales], name)
        yield from _table(rows)
        yield ""
        yield "  Learners and what they change (one value: the same at every scale):"
        rows = [["", *problem.SCALES]]
        for learner in shown:
            rows += _settings_rows([scale.learners[learner] for scale in scales], f"{name}.{learner}", True)
        yield from _table(rows)
        yield ""
        if len(set(defaults.values())) > 1 and not learners:
            for scale_name, names in defaults.items():
                yield from _paragraph(f"Run by default at {scale_name} scale", names)
        others = [learner for learner in every if learner not in shown]
        if others and not learners:
            yield from _paragraph(f"{len(others)} more, chosen with --learner (and shown by --list --learner)", others)
        kinds: dict[type, list[str]] = {}  # of settings, with the learners that have them
        for learner in shown:
            kinds.setdefault(type(scales[0].learners[learner]), []).append(learner)
        for same in kinds.values():
            whose = "these learners" if len(kinds) == 1 else ", ".join(same)
            yield from _paragraph(f"Settings of {whose} and their defaults", _defaults(scales[0].learners[same[0]]))
        yield ""


def _paragraph(title: str, words: Iterable[str]) -> list[str]:
    return textwrap.wrap(
        f"{title}: {', '.join(words)}",
        width=118,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _settings_rows(versions: Sequence[Any], prefix: str, changed_only: bool = False) -> list[list[str]]:
    """A row per setting with its value in each version (scale); the first column is what `--set` takes."""
    rows = []
    for field in dataclasses.fields(versions[0]):
        values = [getattr(version, field.name) for version in versions]
        if changed_only and all(value == field.default for value in values):
            continue
        shown = [show(value) for value in values]
        same = changed_only and len(set(shown)) == 1
        rows.append([f"{prefix}.{field.name}", *(shown[:1] if same else shown)])
    return rows or [[prefix]]


def _defaults(settings: Any) -> list[str]:
    fields = dataclasses.fields(settings)
    return [
        field.name if field.default is dataclasses.MISSING else f"{field.name}={show(field.default)}"
        for field in fields
    ]


def status(problem: str, standings: Sequence[Standing]) -> Iterable[str]:
    """Lines that show how many runs of each learner are done, on their way and missing."""
    yield problem
    rows = [["learner", "done", "partial", "missing"]]
    for standing in standings:
        partial = str(len(standing.partial_seeds))
        if standing.partial:
            weights = [len(block.seeds) for block in standing.partial]
            reached = sum(block.progress * weight for block, weight in zip(standing.partial, weights, strict=True))
            partial += f" ({reached / sum(weights):.0%})"
        done = str(len(standing.done)) + (f" (diverged: {len(standing.diverged)})" if standing.diverged else "")
        rows.append([standing.experiment.learner, done, partial, str(len(standing.missing))])
    yield from _table(rows)


def _table(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(max(map(len, rows)))]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
