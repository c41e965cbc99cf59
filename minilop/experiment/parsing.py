"""Converts texts to values of the types of settings, and finds the nearest name for a misspelled one."""

import difflib
import math
import re
from collections.abc import Iterable
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

_SIMPLE = (str, bool, int, float, NoneType, Any)  # Any: a hyperparameter, which is a number or an array


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name in `names` of which `name` may be a misspelling, or None; short names may differ more."""
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.6 if len(name) < 6 else 0.8)
    return found[0] if found else None


def is_text_type(kind: Any) -> bool:
    """Whether a field of the type `kind` is a setting, given as text; other fields hold dataclasses."""
    if get_origin(kind) is Literal:
        return True
    members = [member for member in get_args(kind) if member is not Ellipsis]
    return kind in _SIMPLE or (bool(members) and all(map(is_text_type, members)))


def parse(kind: Any, text: str, present: Any = None) -> Any:
    """Convert `text` to a value of the type `kind`; if `kind` is Any, of the type of the `present` value.

    Raises ValueError, whose message says what was expected.
    """
    if kind is Any and isinstance(present, (bool, int, float)):
        kind = bool if isinstance(present, bool) else float
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
    raise ValueError(words.get(kind, "a value that can only be set in the file of the problem"))


def _parse_number(kind: type, text: str) -> int | float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if kind is float and not math.isnan(number):
        return number
    if kind is int and number.is_integer():  # 1e6 is a whole number too
        return int(text) if re.fullmatch("[+-]?[0-9]+", text) else int(number)  # float64 is inexact above 2^53
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
        raise ValueError(f"{len(kinds)} values, separated by commas")
    try:
        return tuple(parse(kind, part) for kind, part in zip(kinds, texts, strict=True))
    except ValueError as expected:
        raise ValueError(f"values separated by commas, each {expected}") from None


def _parse_union(kinds: tuple[Any, ...], text: str) -> Any:
    expected = []
    for kind in sorted(kinds, key=lambda kind: kind is not NoneType):  # "none" means None if that is allowed
        try:
            return parse(kind, text)
        except ValueError as words:
            expected.append(str(words))
    raise ValueError(" or ".join(reversed(expected)))
