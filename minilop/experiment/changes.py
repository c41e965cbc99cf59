"""Interprets the changes of `--set`, texts of the form "problem.[learner.][part.]setting=value"."""

from collections.abc import Mapping, Sequence
from typing import Any

from minilop.experiment.problem import Scale
from minilop.experiment.settings import (
    SettingsError,
    all_settings,
    find_setting,
    full_names,
    label,
    parts_of,
    unknown,
)

MOST_LEARNERS = 5  # listed in an error


def group_changes(
    changes: Sequence[str], scales: Mapping[str, Scale], running: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, str]]:
    """Group the changes by target: {"problem" or "problem.learner": {setting: text}}.

    scales    the scale of each problem that runs
    running   the learners that run, by problem

    Raises SettingsError if a setting does not exist or does not run.
    """
    groups: dict[str, dict[str, str]] = {}
    for change in changes:
        target, equals, text = change.partition("=")
        problem, _, rest = target.strip().partition(".")
        if not (equals and problem and rest):
            raise SettingsError(
                "--set expects problem.setting=value, problem.learner.setting=value or "
                f"problem.learner.part.setting=value, not {change!r}."
            )
        try:
            if problem not in scales:
                raise unknown("problem among those that run", problem, scales)
            learner, setting = _split(rest, scales[problem])
            if learner is None:
                _check_setting_of_problem(problem, setting, scales[problem])
            elif learner not in running[problem]:
                raise SettingsError(f"It has no effect, since {learner} does not run; choose it with --learner.")
            else:
                _check_setting_of_learner(learner, setting, scales[problem].learners)
        except SettingsError as error:
            raise SettingsError(f"--set {change}: {error}") from None
        groups.setdefault(problem if learner is None else f"{problem}.{learner}", {})[setting] = text
    return groups


def _split(name: str, scale: Scale) -> tuple[str | None, str]:
    """The learner, or None for the problem itself, and the setting in `name`.

    The name of a learner may contain dots, so the longest matching name counts. Raises SettingsError if none matches.
    """
    matching = [learner for learner in scale.learners if name.startswith(f"{learner}.")]
    if matching:
        learner = max(matching, key=len)
        return learner, name.removeprefix(f"{learner}.")
    if "." not in name or any(name in all_settings(each) for each in scale.learners.values()):
        return None, name
    learner = name.rpartition(".")[0]
    before, _, part_name = learner.rpartition(".")
    if before and any(part_name in parts_of(each) for each in scale.learners.values()):
        learner = before
    raise unknown("learner", learner, scale.learners)


def _check_setting_of_problem(problem: str, setting: str, scale: Scale) -> None:
    """Raises SettingsError if the problem has no such setting."""
    if full_names(scale.settings, setting):
        return
    if any(full_names(each, setting) for each in scale.learners.values()):
        raise SettingsError(f"{setting} belongs to a learner; write {problem}.<learner>.{setting}.")
    find_setting(scale.settings, setting)


def _check_setting_of_learner(learner: str, setting: str, learners: Mapping[str, Any]) -> None:
    """Raises SettingsError if the learner has no such setting, or several."""
    if not full_names(learners[learner], setting):
        _refuse_setting_of_others(learner, setting, learners)
    find_setting(learners[learner], setting)


def _refuse_setting_of_others(learner: str, setting: str, learners: Mapping[str, Any]) -> None:
    """Raises SettingsError if other learners have the setting; the message names its part and these learners."""
    having = [name for name, each in learners.items() if full_names(each, setting)]
    if not having:
        return
    owners = dict.fromkeys(owner for name in having for owner in _owners(learners[name], setting))
    lacks = f"{learner} has no setting {setting}"
    if owners:
        lacks = f"{setting} belongs to {' or '.join(owners)}, which {learner} does not have"
    some = ", ".join(having[:MOST_LEARNERS])
    more = f" and {len(having) - MOST_LEARNERS} more" if len(having) > MOST_LEARNERS else ""
    raise SettingsError(f"{lacks}; learners that have it: {some}{more}.")


def _owners(settings: Any, setting: str) -> list[str]:
    """The parts of a learner that have this setting, in words."""
    parts = parts_of(settings)
    names = [full_name.rpartition(".")[0] for full_name in full_names(settings, setting)]
    return [label(name, parts[name]) for name in names if name]
