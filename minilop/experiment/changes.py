"""What `--set` changes: each text "problem.[learner.][part.]setting=value" is looked up, or refused in one sentence."""

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

MOST_LEARNERS = 5  # that an error lists

FORMER_SETTINGS = {  # of learners when results had format 1, with what to write now; {value} is what was asked for
    "optimizer": "optimizer is no longer a setting: a learner has its optimizer",
    "rules": "rules is not a setting: a learner has its rules",
    "update": "update is now the choice of the optimizer sgd_in_place or sgd_buffered",
    "network": "network={value} is now kind={value}",
    "begin_anew": "begin_anew={value} is now reset={value}",
    **dict.fromkeys(
        ("centre", "transfer_bias", "shortcuts"),
        "{setting} is no longer a setting; only the kit has it: python -m minilop.verify",
    ),
}
FORMER_UPDATES = {"gradient": "sgd", "in_place": "sgd_in_place", "pending": "sgd_buffered"}  # and their optimizers now


def group_changes(
    changes: Sequence[str], scales: Mapping[str, Scale], running: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, str]]:
    """The changes by what they change: {"problem" or "problem.learner": {setting: text}}.

    scales    of each problem that runs
    running   the learners of each problem that run

    Raises SettingsError for a change that names nothing, or what does not run.
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
                _check_setting_of_problem(problem, setting, text, scales[problem])
            elif learner not in running[problem]:
                raise SettingsError(f"It has no effect, since {learner} does not run; choose it with --learner.")
            else:
                _check_setting_of_learner(problem, learner, setting, text, scales[problem].learners)
        except SettingsError as error:
            raise SettingsError(f"--set {change}: {error}") from None
        groups.setdefault(problem if learner is None else f"{problem}.{learner}", {})[setting] = text
    return groups


def _split(name: str, scale: Scale) -> tuple[str | None, str]:
    """The learner, or None for the problem itself, and the setting in `name`.

    The name of a learner may contain dots, so the longest one that fits is meant. Raises SettingsError if none fits.
    """
    fitting = [learner for learner in scale.learners if name.startswith(f"{learner}.")]
    if fitting:
        learner = max(fitting, key=len)
        return learner, name.removeprefix(f"{learner}.")
    if "." not in name or any(name in all_settings(each) for each in scale.learners.values()):
        return None, name
    learner = name.rpartition(".")[0]
    before, _, part_name = learner.rpartition(".")
    if before and any(part_name in parts_of(each) for each in scale.learners.values()):
        learner = before
    raise unknown("learner", learner, scale.learners)


def _check_setting_of_problem(problem: str, setting: str, value: str, scale: Scale) -> None:
    """Raises SettingsError if the problem has no such setting."""
    if full_names(scale.settings, setting):
        return
    if any(full_names(each, setting) for each in scale.learners.values()):
        raise SettingsError(f"{setting} belongs to a learner; say which: {problem}.<learner>.{setting}.")
    if any(map(parts_of, scale.learners.values())):
        _refuse_former_setting(problem, setting, value, scale.learners, None)
    find_setting(scale.settings, setting)


def _check_setting_of_learner(
    problem: str, learner: str, setting: str, value: str, learners: Mapping[str, Any]
) -> None:
    """Raises SettingsError if the learner has no such setting, or several."""
    if not full_names(learners[learner], setting):
        _refuse_setting_of_others(learner, setting, learners)
        if parts_of(learners[learner]):
            _refuse_former_setting(problem, setting, value, learners, learners[learner])
    find_setting(learners[learner], setting)


def _refuse_setting_of_others(learner: str, setting: str, learners: Mapping[str, Any]) -> None:
    """Raises SettingsError if some of `learners` have the setting: names the part that it belongs to, and them."""
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


def _refuse_former_setting(problem: str, setting: str, value: str, learners: Mapping[str, Any], asked: Any) -> None:
    """Raises SettingsError, with what to write now, for a setting that the learners had in an earlier version.

    asked   the settings of the learner that was asked to change, or None; an example has the same rules
    """
    if setting not in FORMER_SETTINGS:
        return
    value = value.strip()
    refusal = FORMER_SETTINGS[setting].format(setting=setting, value=value)
    if setting in ("optimizer", "rules", "update"):
        kind = FORMER_UPDATES.get(value, value)
        having = [name for name, each in learners.items() if kind in _kinds(each)]
        alike = [name for name in having if asked is None or _rules(learners[name]) == _rules(asked)]
        if asked is not None and kind in _kinds(asked):
            refusal += f"; this learner has {kind} already"
        elif having:
            refusal += f"; choose a learner with {kind}, such as {(alike or having)[0]}"
        else:
            refusal += f"; no learner of {problem} has {kind}"
    raise SettingsError(f"{refusal}.")


def _rules(settings: Any) -> list[str]:
    """The names of a learner's parts beside optimizer and network."""
    return [name for name in parts_of(settings) if name not in ("optimizer", "network")]


def _kinds(settings: Any) -> list[str]:
    """The kinds of a learner's parts: ["sgd", "redo"]."""
    return [part.name for part in parts_of(settings).values() if hasattr(part, "name")]
