"""Reads pickles that contain only arrays, numbers, strings and containers, without running any of their code.

A pickle can call any function of any module. Python's reader can be restricted to a few names, but it calls them with
arguments from the pickle, and NumPy's constructors trust their arguments: a pickle of 47 bytes can crash the process.
So minilop runs pickles on a machine of its own (`pickle_machine`) that knows only how to build arrays.
"""

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minilop.data.contents import open_unpacked, read_exactly
from minilop.data.errors import DataError
from minilop.data.pickle_machine import Machine
from minilop.data.pickled_arrays import MOST_BYTES, SENSELESS, Damaged, Name, Refused
from minilop.data.tar_files import too_large

MOST_NESTING = 8


def unpickle_arrays(source: str | os.PathLike[str] | bytes | bytearray, name: str | None = None) -> Any:
    """Returns the content of a pickle of arrays, numbers, strings, lists, tuples and dictionaries.

    source  a path, or the bytes of the pickle. Most arrays are views of these bytes; they are writable if `source` is a
            bytearray or a path
    name    the name of the pickle in messages; by default the path

    Raises DataError if the file cannot be read, is damaged or asks for anything else. No code of the pickle runs.
    """
    if isinstance(source, bytes | bytearray):
        name = name or "the pickle"
    else:
        name = name or str(source)
        with open_unpacked(Path(source)) as file:
            source = read_exactly(file, MOST_BYTES + 1)
    if len(source) > MOST_BYTES:
        raise too_large(name, len(source), MOST_BYTES)
    try:
        value = Machine(source).run()
        _check_nesting(value)
        return value
    except Refused as refused:
        raise DataError(
            f"{name} asks for {refused}, but only arrays are allowed. None of its code was run; "
            "get the file again from its official source."
        ) from None
    except Damaged as damage:
        reason = str(damage)
    except (IndexError, KeyError, ValueError, TypeError, struct.error, MemoryError):
        reason = SENSELESS
    raise DataError(f"{name} is not a pickle, or it is damaged or truncated: {reason}; download it again.")


def whole_numbers(value: object) -> npt.NDArray[np.integer] | None:
    """An array of integers unchanged, or a list of integers as an array; None for anything else."""
    if isinstance(value, np.ndarray):
        return value if value.dtype.kind in "iu" else None
    if isinstance(value, list) and all(isinstance(number, int | np.integer) for number in value):
        try:
            return np.array(value, np.int64)
        except OverflowError:
            return None
    return None


def describe(value: object) -> str:
    """The kind and the size of an unpickled value, in a few words."""
    if isinstance(value, np.ndarray):
        return f"{' x '.join(map(str, value.shape)) or 'one number'} of type {value.dtype}"
    if isinstance(value, list | tuple | dict):
        return f"a {type(value).__name__} of {len(value):,}"
    return f"something of type {type(value).__name__}"


def _check_nesting(value: object) -> None:
    """Raises Damaged for containers nested too deeply, and Refused for a name in a container.

    Visits the containers level by level, each once per level, so a container may even contain itself.
    """
    level: list[Any] = [[value]]
    for _ in range(MOST_NESTING + 1):
        inner: dict[int, Any] = {}
        for container in level:
            elements = container.values() if isinstance(container, dict) else container
            for element in elements:
                if isinstance(element, list | tuple | dict):
                    inner[id(element)] = element
                elif isinstance(element, Name):
                    raise Refused(f"the name {element.word}")
        level = list(inner.values())
        if not level:
            return
    raise Damaged(f"its containers are nested more than {MOST_NESTING} deep")
