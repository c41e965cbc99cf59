"""The texts of `--list` and `--status`."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING
from typing import Any

from minilop.experiment.blocks import Standing
from minilop.experiment.problem import Problem
from minilop.experiment.settings import all_settings, label, own_fields, parts_of, short_name, show


def describe(problems: Mapping[str, Problem], learners: Sequence[str] = ()) -> Iterable[str]:
    """Lines that show each problem, its settings at each scale, and the settings that the learners change.

    learners   shown in full; by default those that run by default, with the names of the others

    Leaves out problems that have none of these learners.
    """
    for name, problem in problems.items():
        scales = list(problem.SCALES.values())
        every = list(scales[0].learners)
        defaults = {scale_name: scale.default_learners for scale_name, scale in problem.SCALES.items()}
        by_default = {learner for names in defaults.values() for learner in names}
        shown = [learner for learner in every if learner in (learners or by_default)]
        if not shown:
            continue
        yield f"{name}: {problem.TITLE}"
        yield ""
        rows = [["", *problem.SCALES]]
        rows += [["runs of each learner", *(str(scale.runs) for scale in scales)]]
        rows += _settings_rows([scale.settings for scale in scales], name)
        yield from _table(rows)
        yield ""
        yield "  Learners and the settings that they change (one value: the same at all scales):"
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
        if shown:
            yield "  Settings of these learners, by part, and their defaults:"
        versions = {
            learner: {scale_name: scale.learners[learner] for scale_name, scale in problem.SCALES.items()}
            for learner in shown
        }
        for title, texts in _defaults_by_part(versions):
            yield from _paragraph(title, texts, indent=4)
        yield ""


def _paragraph(title: str, words: Iterable[str], indent: int = 2) -> list[str]:
    return textwrap.wrap(
        f"{title}: {', '.join(words)}",
        width=118,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _settings_rows(versions: Sequence[Any], prefix: str, changed_only: bool = False) -> list[list[str]]:
    """One row per setting with its value in each version (scale); the first column is the name for `--set`."""
    values, defaults = [all_settings(version) for version in versions], [_defaults(version) for version in versions]
    rows = []
    for name in dict.fromkeys(name for each in values for name in each):
        if changed_only and all(each.get(name) == own[name] for each, own in zip(values, defaults) if name in each):
            continue
        owner = next(version for version, each in zip(versions, values) if name in each)
        shown = [show(each[name]) if name in each else "-" for each in values]  # "-": another kind of part
        same = changed_only and len(set(shown)) == 1
        rows.append([f"{prefix}.{short_name(owner, name)}", *(shown[:1] if same else shown)])
    return rows or [[prefix]]


def _defaults(settings: Any) -> dict[str, Any]:
    """The default of each setting by its full name; MISSING if there is none."""
    defaults: dict[str, Any] = {}
    for part_name, part in parts_of(settings).items():
        defaults |= {f"{part_name}.{name}": default for name, default in _defaults(part).items()}
    return defaults | {field.name: field.default for field in own_fields(settings)}


def _defaults_by_part(learners: Mapping[str, Mapping[str, Any]]) -> Iterable[tuple[str, list[str]]]:
    """For each kind of part its name and its defaults; the name lists the learners and scales if not all have it.

    learners   {learner: {scale: settings}}
    """
    all_scales = list(next(iter(learners.values()), {}))
    examples: dict[type, Any] = {}
    groups: dict[tuple[str, str, type, str], list[str]] = {}  # the learners that have the same kind at the same scales
    for learner, versions in learners.items():
        found: dict[tuple[str, str, type], list[str]] = {}  # scales
        for scale, settings in versions.items():
            for part_name, part in {"learner": settings, **parts_of(settings)}.items():
                examples[type(part)] = part
                found.setdefault((part_name, label(part_name, part), type(part)), []).append(scale)
        for key, scales in found.items():
            groups.setdefault((*key, "" if scales == all_scales else ", ".join(scales)), []).append(learner)
    part_names = list(dict.fromkeys(part_name for part_name, *_ in groups))
    for (_, title, kind, where), names in sorted(groups.items(), key=lambda item: part_names.index(item[0][0])):
        notes = [", ".join(names)] * (names != list(learners)) + [where] * bool(where)
        fields = own_fields(examples[kind])
        defaults = [each.name + ("" if each.default is MISSING else f"={show(each.default)}") for each in fields]
        yield (f"{title} ({'; '.join(notes)})" if notes else title), defaults


def status(problem: str, standings: Sequence[Standing]) -> Iterable[str]:
    """Lines that show how many runs of each learner are done, started and missing."""
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
