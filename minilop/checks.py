"""Checks of hyperparameters. An invalid value raises an error with a clear sentence before anything is computed."""

import math
from typing import Any, Literal, get_args, get_origin, get_type_hints


def check_range(settings: Any, names: str, low: float, high: float = math.inf, below_high: bool = False) -> None:
    """Raises ValueError unless each of the named fields is finite and from `low` to `high` (or below it).

    names   separated by spaces; an array, with a value for each run, is not looked into
    """
    for name in names.split():
        value = getattr(settings, name)
        if not isinstance(value, (int, float)):
            continue
        if not (math.isfinite(value) and low <= value <= high) or (below_high and value == high):
            upper = "" if high == math.inf else f" and {'below' if below_high else 'at most'} {high:g}"
            raise ValueError(f"{name} must be a finite number, at least {low:g}{upper}, not {value}")


def check_choice(name: str, value: Any, choices: Any) -> None:
    """Raises ValueError unless `value` is one of `choices`, a Literal."""
    if value not in get_args(choices):
        raise ValueError(f"{name} must be {' or '.join(map(str, get_args(choices)))}, not {value!r}")


def check_choices(settings: Any) -> None:
    """Raises ValueError unless every field that is annotated with a Literal has one of its values."""
    for name, kind in get_type_hints(type(settings)).items():
        if get_origin(kind) is Literal:
            check_choice(name, getattr(settings, name), kind)
