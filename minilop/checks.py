"""Checks of hyperparameters and sizes. An invalid value raises an error with a clear message before any computation."""

import math
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np


def check_range(settings: Any, names: str, low: float, high: float = math.inf, below_high: bool = False) -> None:
    """Raises ValueError unless each of the named fields is finite and from `low` to `high` (or below it).

    names   separated by spaces
    """
    for name in names.split():
        check_number(name, getattr(settings, name), low, high, below_high)


def check_number(name: str, value: Any, low: float, high: float = math.inf, below_high: bool = False) -> None:
    """The same check of one value. Arrays with a value for each run are not checked: the host would have to wait."""
    is_number = isinstance(value, (int, float, np.integer, np.floating))
    if not is_number and (hasattr(value, "dtype") or isinstance(value, (list, tuple))):
        return
    if not (is_number and math.isfinite(value) and low <= value <= high) or (below_high and value == high):
        upper = "" if high == math.inf else f" and {'below' if below_high else 'at most'} {high:g}"
        found = value if is_number else repr(value)
        raise ValueError(f"{name} must be a finite number, at least {low:g}{upper}, not {found}")


def check_sizes(*sizes: int) -> None:
    """Raises ValueError unless all sizes of a layer are integers of at least 1."""
    for size in sizes:
        if not isinstance(size, (int, np.integer)) or size < 1:
            raise ValueError(f"the sizes of a layer must be whole numbers, at least 1, not {size!r}")


def check_choice(name: str, value: Any, choices: Any) -> None:
    """Raises ValueError unless `value` is one of `choices`, a Literal or a collection of names."""
    names = get_args(choices) or tuple(choices)
    if value not in names:
        raise ValueError(f"{name} must be {' or '.join(map(str, names))}, not {value!r}")


def check_choices(settings: Any) -> None:
    """Raises ValueError unless every field that is annotated with a Literal has one of its values."""
    for name, kind in get_type_hints(type(settings)).items():
        if get_origin(kind) is Literal:
            check_choice(name, getattr(settings, name), kind)
