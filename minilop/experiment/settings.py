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

    def identity(self) -> dict[str, Any]:
        """Everything that decides the numbers of a run, besides its seed, as JSON values."""
        return {
            "format": RESULTS_FORMAT,
            "problem": self.problem,
            "learner": self.learner,
            "problem_settings": _plain(dataclasses.asdict(self.problem_settings)),
            "learner_settings": _plain(dataclasses.asdict(self.learner_settings)),
        }

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.identity())


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


def nearest(name: str, names: Iterable[str]) -> str:
    """The one of `names` that looks most like `name`."""
    return difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]


def unknown(kind: str, name: str, names: Iterable[str]) -> SettingsError:
    """The error for a `name` that is none of `names`, where `kind` says what was looked for."""
    return SettingsError(f"There is no {kind} {name!r}; did you mean {nearest(name, names)}?")


def override(settings: SettingsType, name: str, text: str) -> SettingsType:
    """A copy of the dataclass `settings` with the field `name` set to what `text` says.

    Raises SettingsError, naming the nearest right name or what was expected, where `name` or `text` does not fit.
    """
    kinds = get_type_hints(type(settings))
    if name not in kinds:
        raise unknown("setting", name, kinds)
    try:
        value = _parse(kinds[name], text.strip())
    except ValueError as expected:
        raise SettingsError(f"The setting {name} expects {expected}, not {text!r}.") from None
    try:
        return dataclasses.replace(settings, **{name: value})  # type: ignore[type-var]
    except ValueError as refusal:  # the dataclass checks its own values
        raise SettingsError(f"The setting {name} cannot be {text!r}: {refusal}") from None


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
    raise ValueError(f"one of {', '.join(names)} (the nearest is {nearest(text, names)})")


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
