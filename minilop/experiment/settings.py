"""Settings: frozen dataclasses that are changed by name from text, and the fingerprint that names a result file."""

import dataclasses
import difflib
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

RESULTS_FORMAT = 1  # raise it when the meaning of a result changes: older files then have other names and stay unread
MOST_NAMES = 20  # that an error lists

SettingsType = TypeVar("SettingsType")


class SettingsError(ValueError):
    """Something was named or given wrongly by the user; the message is one sentence with the remedy."""


@dataclass(frozen=True)
class Experiment:
    """One learner on one problem with all its settings: what a fingerprint stands for."""

    problem: str
    learner: str
    problem_settings: Any  # frozen dataclasses, both
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
            "problem_settings": _plain(dataclasses.asdict(self.problem_settings)),
            "learner_settings": _plain(dataclasses.asdict(self.learner_settings)),
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
    """`value` as JSON gives it back, with 1.0 and 1 the same: a float setting may be written as a whole number."""
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


def show(value: Any) -> str:
    """The value of a setting as `--set` takes it."""
    return ",".join(map(show, value)) if isinstance(value, tuple) else str(value)


def differences(before: SettingsType, after: SettingsType, prefix: str) -> list[str]:
    """What `--set` would have to say to make the dataclass `after` of `before`."""
    names = [field.name for field in dataclasses.fields(after)]  # type: ignore[arg-type]
    changed = [name for name in names if getattr(before, name) != getattr(after, name)]
    return [f"{prefix}.{name}={show(getattr(after, name))}" for name in changed]


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that `name` may be misspelt for, or None; in a short name a slip takes a larger share."""
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.6 if len(name) < 6 else 0.8)
    return found[0] if found else None


def unknown(kind: str, name: str, names: Iterable[str]) -> SettingsError:
    """The error for a `name` that is none of `names`, where `kind` says what was looked for."""
    names = list(names)
    if near := nearest(name, names):
        return SettingsError(f"There is no {kind} {name!r}; did you mean {near}?")
    if len(names) > MOST_NAMES:
        return SettingsError(f"There is no {kind} {name!r}; --list shows the {len(names)} that there are.")
    return SettingsError(f"There is no {kind} {name!r}; choose from {', '.join(names)}.")


def override(settings: SettingsType, texts: Mapping[str, str]) -> SettingsType:
    """A copy of the dataclass `settings` with each field named in `texts` set to what its text says, all at once.

    Raises SettingsError, naming the nearest right name or what was expected, where a name or a text does not fit, or
    where the dataclass refuses the new values together.
    """
    kinds = get_type_hints(type(settings))
    values = {}
    for name, text in texts.items():
        if name not in kinds:
            raise unknown("setting", name, kinds)
        try:
            values[name] = _parse(kinds[name], text.strip())
        except ValueError as expected:
            raise SettingsError(f"The setting {name} expects {expected}, not {text!r}.") from None
    try:
        return dataclasses.replace(settings, **values)  # type: ignore[type-var]
    except ValueError as refusal:  # the dataclass checks its own values
        changed = ", ".join(f"{name}={text}" for name, text in texts.items())
        raise SettingsError(sentence(f"{changed} cannot be: {refusal}")) from None


def _parse(kind: Any, text: str) -> Any:
    """`text` as a value of the type `kind`; raises ValueError with the words for what was expected."""
    origin, members = get_origin(kind), get_args(kind)
    if kind is str:
        return text
    if origin is Literal:
        return _parse_choice(members, text)
    if origin is tuple:
        return _parse_tuple(members, text)
    if origin in (Union, UnionType):
        return _parse_union(members, text)
    if kind is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind in (int, float):
        return _parse_number(kind, text)
    if kind is NoneType and text.lower() == "none":
        return None
    words = {bool: "true or false", NoneType: "none"}
    raise ValueError(words.get(kind, "a value that only the problem's file can give"))


def _parse_number(kind: type, text: str) -> int | float:
    if kind is int and text.lstrip("+-").isdigit():
        return int(text)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if kind is float and not math.isnan(number):
        return number
    if kind is int and number.is_integer():  # 1e6 is a whole number too
        return int(number)
    raise ValueError("a whole number" if kind is int else "a number")


def _parse_choice(choices: tuple[Any, ...], text: str) -> Any:
    for choice in choices:
        if text == str(choice):
            return choice
    names = [str(choice) for choice in choices]
    near = nearest(text, names)
    raise ValueError(f"one of {', '.join(names)}" + (f" (the nearest is {near})" if near else ""))


def _parse_tuple(kinds: tuple[Any, ...], text: str) -> tuple[Any, ...]:
    texts = [part.strip() for part in text.strip("()[] ").split(",") if part.strip()]
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(texts)
    if len(texts) != len(kinds):
        raise ValueError(f"{len(kinds)} values with commas between them")
    try:
        return tuple(_parse(kind, part) for kind, part in zip(kinds, texts, strict=True))
    except ValueError as expected:
        raise ValueError(f"values with commas between them, each {expected}") from None


def _parse_union(kinds: tuple[Any, ...], text: str) -> Any:
    expected = []
    for kind in sorted(kinds, key=lambda kind: kind is not NoneType):  # "none" is no text where None is allowed
        try:
            return _parse(kind, text)
        except ValueError as words:
            expected.append(str(words))
    raise ValueError(" or ".join(reversed(expected)))
