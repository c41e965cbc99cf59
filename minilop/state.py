"""State as arrays by name, with functions that copy it to the host, restore it in place and add prefixes to the names.

Learners, PPO, linear methods and problems all save and restore their state with these functions.
"""

from collections.abc import Mapping

import numpy as np

from minilop.backend import Array, to_host, xp


def copied(arrays: Mapping[str, Array]) -> dict[str, np.ndarray]:
    """A copy of the arrays on the host."""
    return {name: to_host(array).copy() for name, array in arrays.items()}


def restore(arrays: Mapping[str, Array], state: Mapping[str, np.ndarray]) -> None:
    """Set the arrays, in place, to a state returned by `copied`.

    Raises KeyError or ValueError, before anything is changed, if an array is missing or has another shape.
    """
    for name, array in arrays.items():
        if state[name].shape != array.shape:
            raise ValueError(f"{name} has the shape {state[name].shape}, not {array.shape}")
    for name, array in arrays.items():
        array[...] = state[name] if isinstance(array, np.ndarray) else xp.asarray(state[name])


def prefixed(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays under the names "<prefix>.<name>"."""
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


def part(prefix: str, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays named "<prefix>.<name>", under their names without the prefix."""
    return {name.removeprefix(f"{prefix}."): state[name] for name in state if name.startswith(f"{prefix}.")}
