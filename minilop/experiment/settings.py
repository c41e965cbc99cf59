"""Settings: dataclasses that are changed by name from text, and the fingerprint that names a result file.

The settings of a problem are a flat dataclass. Those of a learner are flat too, or composed of parts:

    parts()                 the parts by name, dataclasses as well: {"optimizer": SGD(...), "network": ..., ...}
    with_part(name, part)   a copy with another part of that name

The full name of a setting of a part is "part.setting"; "setting" alone will do if nothing else has that name.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

from minilop.experiment.parsing import is_text_type, nearest, parse

RESULTS_FORMAT = 3  # raise it when the meaning of a result changes: older files then have other names and stay unread
MOST_NAMES = 20  # that an error lists

SettingsType = TypeVar("SettingsType")


class SettingsError(ValueError):
    """Something was named or given wrongly by the user; the message is one sentence with the remedy."""


@dataclass(frozen=True)
class Experiment:
    """One learner on one problem with all its settings: what a fingerprint stands for."""

    problem: str
    learner: str
    problem_settings: Any  # both are frozen dataclasses; they need not be hashable
    learner_settings: Any
    module: str  # import name of the problem's file, so that another process can find it
    scale: str  # where the settings came from; a label only
    changes: tuple[str, ...] = ()  # settings that are not the scale's own, as "problem.setting=value"; a label only
    data_source: str = ""  # what the examples are, as the problem tells it once its data are looked at

    def identity(self) -> dict[str, Any]:
        """Everything that decides the numbers of a run, besides its seed, as JSON values."""
        return {
            "format": RESULTS_FORMAT,
            "problem": self.problem,
            "learner": self.learner,
            "problem_settings": _plain(self.problem_settings),
            "learner_settings": _plain(self.learner_settings),
            "data_source": self.data_source,
        }

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.identity())


def scale_label(experiments: Iterable[Experiment]) -> str:
    """The scale of experiments of one problem, and what was changed of its settings: "laptop with toy.num_steps=4"."""
    scales = dict.fromkeys(experiment.scale for experiment in experiments)
    changes = dict.fromkeys(change for experiment in experiments for change in experiment.changes)
    return ", ".join(scales) + (f" with {', '.join(changes)}" if changes else "")


def fingerprint(identity: Mapping[str, Any]) -> str:
    """Ten hexadecimal digits that stand for `identity`, whatever the order of its names."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:10]


def _plain(value: Any) -> Any:
    """`value` as JSON values; a dataclass begins with its `name` if its class has one.

    1.0 and 1 become the same: a float setting may be written as a whole number.
    """
    if dataclasses.is_dataclass(value):
        name = {"name": value.name} if hasattr(value, "name") else {}
        return name | {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def sentence(text: object) -> str:
    """`text`, the words of an error perhaps, on one line that ends as a sentence does."""
    line = " ".join(str(text).split())
    return line if line.endswith((".", "?", "!")) else f"{line}."


def shorten(text: str) -> str:
    """`text` as a sentence can quote it."""
    return text if len(text) <= 60 else f"{text[:57]}..."


def show(value: Any) -> str:
    """The value of a setting as `--set` takes it."""
    return ",".join(map(show, value)) if isinstance(value, tuple) else str(value)


def parts_of(settings: Any) -> dict[str, Any]:
    """The parts of composed settings by name; none for flat ones."""
    return settings.parts() if hasattr(settings, "parts") else {}


def label(part_name: str, part: Any) -> str:
    """A part in words: "optimizer sgd", "network", "continual_backprop"."""
    kind = getattr(part, "name", part_name)
    return part_name if kind == part_name else f"{part_name} {kind}"


def own_fields(settings: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a dataclass that are settings, without those that hold parts."""
    kinds = get_type_hints(type(settings))
    return [field for field in dataclasses.fields(settings) if is_text_type(kinds[field.name])]


def all_settings(settings: Any) -> dict[str, Any]:
    """The value of every setting by its full name: {"optimizer.step_size": 0.01, ..., "dtype": "float32"}."""
    named: dict[str, Any] = {}
    for part_name, part in parts_of(settings).items():
        named |= {f"{part_name}.{name}": value for name, value in all_settings(part).items()}
    return named | {field.name: getattr(settings, field.name) for field in own_fields(settings)}


def full_names(settings: Any, name: str) -> list[str]:
    """The full names of the settings that `name` may stand for: one or none, or several if it is ambiguous."""
    known = all_settings(settings)
    return [name] if name in known else [full for full in known if full.endswith(f".{name}")]


def short_name(settings: Any, full_name: str) -> str:
    """The shortest name that stands for this setting alone."""
    short = full_name.rpartition(".")[2]
    return short if full_names(settings, short) == [full_name] else full_name


def differences(before: SettingsType, after: SettingsType, prefix: str) -> list[str]:
    """What `--set` would have to say to make `after` of `before`, settings of the same parts."""
    old, new = all_settings(before), all_settings(after)
    changed = [name for name in new if old[name] != new[name]]
    return [f"{prefix}.{short_name(after, name)}={show(new[name])}" for name in changed]


def unknown(kind: str, name: str, names: Iterable[str]) -> SettingsError:
    """The error for a `name` that is none of `names`, where `kind` says what was looked for."""
    names = list(names)
    if near := nearest(name, names):
        return SettingsError(f"There is no {kind} {name!r}; did you mean {near}?")
    if len(names) > MOST_NAMES:
        return SettingsError(f"There is no {kind} {name!r}; --list shows the {len(names)} that there are.")
    return SettingsError(f"There is no {kind} {name!r}; choose from {', '.join(names)}.")


def find_setting(settings: Any, name: str) -> str:
    """The full name of the setting that `name` stands for. Raises SettingsError for none or several."""
    found = full_names(settings, name)
    if len(found) == 1:
        return found[0]
    if found:
        raise SettingsError(f"{name} belongs to more than one part; say which: {' or '.join(found)}.")
    known = all_settings(settings)
    if "." not in name:
        raise unknown("setting", name, [short_name(settings, full) for full in known])
    meant = full_names(settings, name.rpartition(".")[2])  # of another part
    raise unknown("setting", name, meant if len(meant) == 1 else known)


def override(settings: SettingsType, texts: Mapping[str, str]) -> SettingsType:
    """A copy of `settings` with each setting named in `texts` changed to what its text says, all of a part at once.

    Raises SettingsError, naming the nearest right name or what was expected, where a name or a text does not fit, or
    where the dataclass refuses the new values together.
    """
    parts = parts_of(settings)
    values: dict[str, dict[str, Any]] = {}  # of each part by its name; those of the settings' own fields under ""
    for name, text in texts.items():
        part_name, _, setting = find_setting(settings, name).rpartition(".")
        owner = parts.get(part_name, settings)
        if setting in values.get(part_name, {}):
            raise SettingsError(f"The setting {name} is given twice; give it once.")
        try:
            value = parse(get_type_hints(type(owner))[setting], text.strip(), getattr(owner, setting))
        except ValueError as expected:
            raise SettingsError(f"The setting {name} expects {expected}, not {shorten(text)!r}.") from None
        values.setdefault(part_name, {})[setting] = value
    changed: Any = settings
    try:
        for part_name, of_part in values.items():
            if part_name:
                changed = changed.with_part(part_name, dataclasses.replace(parts[part_name], **of_part))
            else:
                changed = dataclasses.replace(changed, **of_part)
    except ValueError as refusal:  # a dataclass checks its own values
        changed_names = tuple(f"{name.rpartition('.')[2]} must be " for name in texts)
        if str(refusal).startswith(changed_names) and ", not " in str(refusal):  # it names setting and value itself
            raise SettingsError(sentence(refusal)) from None
        told = ", ".join(f"{name}={shorten(text)}" for name, text in texts.items())
        raise SettingsError(sentence(f"{told} cannot be: {refusal}")) from None
    return changed  # type: ignore[no-any-return]
