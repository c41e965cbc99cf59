"""State as arrays by name, with functions that copy it to the host, restore it in place and add prefixes to the names.

Learners, PPO, linear methods and problems all save and restore their state with these functions.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from minilop.backend import Array, to_host, xp


def copied(arrays: Mapping[str, Array]) -> dict[str, np.ndarray]:
    """A copy of the arrays on the host."""
    return {name: to_host(array).copy() for name, array in arrays.items()}


def restore(arrays: Mapping[str, Array], state: Mapping[str, np.ndarray], others: Iterable[str] = ()) -> None:
    """Set the arrays, in place, to a state returned by `copied`.

    others   names of other arrays in `state`, which the caller restores: see `check_names`

    Raises ValueError, before any array is changed, if an array is missing, is unexpected, or has the wrong shape.
    """
    check_names(state, [*arrays, *others])
    for name, array in arrays.items():
        if state[name].shape != array.shape:
            raise ValueError(f"{name} has the shape {state[name].shape}, not {array.shape}")
    for name, array in arrays.items():
        array[...] = state[name] if isinstance(array, np.ndarray) else xp.asarray(state[name])


def check_names(state: Mapping[str, np.ndarray], expected: Iterable[str]) -> None:
    """Raises ValueError if arrays are missing or unexpected. The message contains the name of such an array.

    expected   names; a name "<prefix>.", which ends in a period, stands for any number of arrays with that prefix
    """
    names = set(expected)
    prefixes = tuple(name for name in names if name.endswith("."))
    missing = sorted(names.difference(state, prefixes))
    surplus = sorted(name for name in state if name not in names and not name.startswith(prefixes))
    if missing or surplus:
        lacks, has = [f"lacks {name}" for name in missing[:1]], [f"has {name} in addition" for name in surplus[:1]]
        found = " and ".join(lacks + has)
        raise ValueError(f"The state to restore {found}; restore it into an object made with the same settings.")


def prefixed(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays under the names "<prefix>.<name>"."""
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


def part(prefix: str, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays named "<prefix>.<name>", under their names without the prefix."""
    return {name.removeprefix(f"{prefix}."): state[name] for name in state if name.startswith(f"{prefix}.")}
