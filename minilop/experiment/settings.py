"""Settings are dataclasses; their fields can be changed by name, and their fingerprint is part of a result's name.

The settings of a problem are a flat dataclass. Those of a learner are flat, too, or composed of parts:

    parts()                 the parts, also dataclasses, by name: {"optimizer": SGD(...), "network": ..., ...}
    with_part(name, part)   a copy in which this part is replaced

The full name of a setting in a part is "part.setting"; "setting" is enough if it is unambiguous.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

from minilop.experiment.parsing import is_text_type, nearest, parse

RESULTS_FORMAT = 3  # incremented when the meaning of results changes; older files then have other names
MOST_NAMES = 20  # listed in an error

SettingsType = TypeVar("SettingsType")


class SettingsError(ValueError):
    """An error in the options of the user; the message is one sentence with the remedy."""


@dataclass(frozen=True)
class Experiment:
    """One learner on one problem with all settings."""

    problem: str
    learner: str
    problem_settings: Any  # both are frozen dataclasses; they need not be hashable
    learner_settings: Any
    module: str  # of the problem; worker processes import it
    scale: str  # only a label
    changes: tuple[str, ...] = ()  # of settings, as "problem.setting=value"; only a label
    data_source: str = ""  # a description of the data, set by `find_data`

    def identity(self) -> dict[str, Any]:
        """Everything on which the results of a run depend, except its seed, as JSON values."""
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
    """The scale of the experiments of one problem with the changes of its settings: "laptop with toy.num_steps=4"."""
    scales = dict.fromkeys(experiment.scale for experiment in experiments)
    changes = dict.fromkeys(change for experiment in experiments for change in experiment.changes)
    return ", ".join(scales) + (f" with {', '.join(changes)}" if changes else "")


def fingerprint(identity: Mapping[str, Any]) -> str:
    """Ten hexadecimal digits that identify `identity`, independent of the order of its keys."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:10]


def _plain(value: Any) -> Any:
    """Convert `value` to JSON values; a dataclass becomes a dictionary, with its `name` if the class has one.

    1.0 becomes 1, so that float settings can be written as whole numbers.
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
    """`text`, for example of an error, as one line that ends with a punctuation mark."""
    line = " ".join(str(text).split())
    return line if line.endswith((".", "?", "!")) else f"{line}."


def shorten(text: str) -> str:
    """`text`, shortened for quotation in a sentence."""
    return text if len(text) <= 60 else f"{text[:57]}..."


def show(value: Any) -> str:
    """The value of a setting as text for `--set`."""
    return ",".join(map(show, value)) if isinstance(value, tuple) else str(value)


def parts_of(settings: Any) -> dict[str, Any]:
    """The parts of composed settings by name; none for flat ones."""
    return settings.parts() if hasattr(settings, "parts") else {}


def label(part_name: str, part: Any) -> str:
    """A part in words: "optimizer sgd", "network", "continual_backprop"."""
    kind = getattr(part, "name", part_name)
    return part_name if kind == part_name else f"{part_name} {kind}"


def own_fields(settings: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a dataclass that are settings and not parts."""
    kinds = get_type_hints(type(settings))
    return [field for field in dataclasses.fields(settings) if is_text_type(kinds[field.name])]


def all_settings(settings: Any) -> dict[str, Any]:
    """The value of each setting by its full name: {"optimizer.step_size": 0.01, ..., "dtype": "float32"}."""
    named: dict[str, Any] = {}
    for part_name, part in parts_of(settings).items():
        named |= {f"{part_name}.{name}": value for name, value in all_settings(part).items()}
    return named | {field.name: getattr(settings, field.name) for field in own_fields(settings)}


def full_names(settings: Any, name: str) -> list[str]:
    """The full names of the settings that `name` may mean: none, one, or several if it is ambiguous."""
    known = all_settings(settings)
    return [name] if name in known else [full for full in known if full.endswith(f".{name}")]


def short_name(settings: Any, full_name: str) -> str:
    """The shortest unambiguous name of a setting."""
    short = full_name.rpartition(".")[2]
    return short if full_names(settings, short) == [full_name] else full_name


def differences(before: SettingsType, after: SettingsType, prefix: str) -> list[str]:
    """The arguments of `--set` that change `before` to `after`, settings with the same parts."""
    old, new = all_settings(before), all_settings(after)
    changed = [name for name in new if old[name] != new[name]]
    return [f"{prefix}.{short_name(after, name)}={show(new[name])}" for name in changed]


def unknown(kind: str, name: str, names: Iterable[str]) -> SettingsError:
    """The error for a `name` that is not in `names`, which are the names of all things of this `kind`."""
    names = list(names)
    if near := nearest(name, names):
        return SettingsError(f"There is no {kind} {name!r}; did you mean {near}?")
    if len(names) > MOST_NAMES:
        return SettingsError(f"There is no {kind} {name!r}; --list shows all {len(names)}.")
    return SettingsError(f"There is no {kind} {name!r}; choose from {', '.join(names)}.")


def find_setting(settings: Any, name: str) -> str:
    """The full name of the setting that `name` means. Raises SettingsError for none or several."""
    found = full_names(settings, name)
    if len(found) == 1:
        return found[0]
    if found:
        raise SettingsError(f"{name} belongs to more than one part; choose {' or '.join(found)}.")
    known = all_settings(settings)
    if "." not in name:
        raise unknown("setting", name, [short_name(settings, full) for full in known])
    elsewhere = full_names(settings, name.rpartition(".")[2])
    raise unknown("setting", name, elsewhere if len(elsewhere) == 1 else known)


def override(settings: SettingsType, texts: Mapping[str, str]) -> SettingsType:
    """A copy of `settings` with new values, given as texts by the names of the settings.

    Changes all settings of a part together. Raises SettingsError, which gives the nearest name or the expected value,
    if a name or a text does not fit, or if the dataclass refuses the new values.
    """
    parts = parts_of(settings)
    values: dict[str, dict[str, Any]] = {}  # by part; "" for the fields outside of parts
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
        if str(refusal).startswith(changed_names) and ", not " in str(
            refusal
        ):  # the message already names the setting and the value
            raise SettingsError(sentence(refusal)) from None
        changes = ", ".join(f"{name}={shorten(text)}" for name, text in texts.items())
        raise SettingsError(sentence(f"{changes} cannot be used: {refusal}")) from None
    return changed  # type: ignore[no-any-return]
