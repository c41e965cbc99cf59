"""The arrays in a pickle, made of bytes, a type and a shape that must agree exactly.

NumPy pickles an array as calls of a few functions of its own and of `_codecs.encode`. `NAMES` lists them; no other name
is accepted, and none of these functions is called. Types are limited to booleans, integers and floats.
"""

import math
import re
from typing import Any

import numpy as np

MOST_BYTES = 2**29  # of a pickle; the official files have up to 400 MB
MOST_DIMENSIONS = 8

SENSELESS = "its instructions make no sense"
_MULTIARRAY = [f"numpy.{core}.multiarray" for core in ("core", "_core")]
_NUMERIC = [f"numpy.{core}.numeric" for core in ("core", "_core")]
NAMES = {
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    ("__builtin__", "bytes"): "bytes",
    **{(module, "_reconstruct"): "_reconstruct" for module in _MULTIARRAY},
    **{(module, "scalar"): "scalar" for module in _MULTIARRAY},
    **{(module, "_frombuffer"): "_frombuffer" for module in _NUMERIC},
}


MARK = object()  # on the stack, begins the items of a container


class Refused(Exception):
    """The pickle asks for something other than arrays; the message names it."""


class Damaged(Exception):
    """The pickle is damaged; the message is the reason in a few words."""


class Name:
    """A name that a pickle may use."""

    def __init__(self, word: str) -> None:
        self.word = word


class Unfinished:
    """A dtype or an array between its two instructions: REDUCE creates it and BUILD completes it."""

    def __init__(self, value: Any = None, is_array: bool = False) -> None:
        self.value, self.is_array = value, is_array

    def complete(self, state: tuple[Any, ...]) -> None:
        self.value = _array_of_state(state) if self.is_array else _dtype_of_state(self.value, state)


def finished(value: Any) -> Any:
    """The value to put into a container. Raises Damaged if it is an array or a dtype that is not complete."""
    if value is MARK or (isinstance(value, Unfinished) and value.value is None):
        raise Damaged(SENSELESS)
    return value.value if isinstance(value, Unfinished) else value


def call(word: str, arguments: tuple[Any, ...]) -> Any:
    """The value that the function of this name would return. Raises ValueError for a wrong number of arguments."""
    if word == "_reconstruct":
        array, _, _ = arguments  # the shape and the type are placeholders
        if not (isinstance(array, Name) and array.word == "ndarray"):
            raise Damaged(SENSELESS)
        return Unfinished(is_array=True)
    if word == "dtype":
        return Unfinished(_dtype(*arguments[:1]))
    if word == "scalar":
        dtype, content = arguments
        return _array((), dtype, False, content)[()]
    if word == "_frombuffer":
        content, dtype, shape, order = arguments
        return _array(shape, dtype, order == "F", content)
    if word == "encode":  # the oldest binary protocols store bytes as text
        text, encoding = arguments
        if encoding != "latin1" or not isinstance(text, str):
            raise Refused("an encoding other than latin1")
        return text.encode("latin1")
    if word == "bytes" and arguments == ():  # empty bytes
        return b""
    raise Refused(f"a call of {word}")


def _dtype(code: Any) -> np.dtype:
    """A type of numbers. Raises Refused for Python objects, text and records."""
    code = str(code, "latin1") if isinstance(code, bytes) else code
    if not isinstance(code, str) or not re.fullmatch("[biuf][0-9]{1,2}", code):
        is_object = isinstance(code, str) and code.startswith("O")
        raise Refused(f"an array of type {'object' if is_object else 'other than numbers'}")
    return np.dtype(code)


def _dtype_of_state(dtype: Any, state: tuple[Any, ...]) -> np.dtype:
    """The dtype with the byte order in its state; the other entries of the state must agree with the dtype."""
    version, order, subarray, names, fields, size, _, _ = state
    if (subarray, names, fields) != (None, None, None):
        raise Refused("an array with fields")
    order = str(order, "latin1") if isinstance(order, bytes) else order
    if version != 3 or order not in ("<", ">", "|", "=") or size not in (-1, dtype.itemsize):
        raise Damaged("the state of a type makes no sense")
    return dtype.newbyteorder(order)


def _array_of_state(state: tuple[Any, ...]) -> np.ndarray:
    """The array with the shape, the type, the order and the elements in its state."""
    version, shape, dtype, is_fortran, content = state
    if version != 1:
        raise Damaged("the state of an array makes no sense")
    return _array(shape, dtype, bool(is_fortran), content)


def _array(shape: Any, dtype: Any, is_fortran: bool, content: Any) -> np.ndarray:
    """An array whose elements are `content`, which must have exactly as many bytes as the shape and the type need."""
    if isinstance(content, str):
        content = content.encode("latin1")
    if not isinstance(content, memoryview):
        content = bytearray(content) if isinstance(content, bytes) else None
    is_shape = isinstance(shape, tuple) and len(shape) <= MOST_DIMENSIONS
    if not is_shape or not all(type(size) is int and 0 <= size <= MOST_BYTES for size in shape):
        raise Damaged("the shape of an array makes no sense")
    if not isinstance(dtype, np.dtype) or content is None:
        raise Damaged("an array has no type or no elements")
    expected = math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise Damaged(f"an array has {len(content):,} bytes, but its shape and type need {expected:,}")
    flat = np.frombuffer(content, dtype) if expected else np.zeros(0, dtype)
    return flat.reshape(shape, order="F" if is_fortran else "C")
