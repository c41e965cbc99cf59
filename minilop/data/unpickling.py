"""Pickles that hold nothing but arrays, read by a machine that can do nothing else.

A pickle is a program for a small stack machine: it may name any function of any module and call it. Python's reader can
be told to find few names only, but what it finds is called with arguments of the pickle's own, and NumPy's constructors
trust theirs: 47 bytes are enough to end the process. So this is a reader of our own. It knows the instructions for
numbers, texts, bytes, lists, tuples and dictionaries, and of the names those by which NumPy rebuilds arrays. A name is
a word here, never a function, and an array is made of bytes, a type and a shape that fit together exactly.

    GLOBAL            pushes a name: `_reconstruct`, `ndarray`, `dtype`, `scalar`, `_frombuffer` or `_codecs.encode`
    REDUCE            takes a name and its arguments, and makes what the name stands for (`_call`)
    BUILD             gives a `dtype` its byte order and an array its shape, type and bytes (`_array`)

The instructions are those of the protocols 0 to 5 (Python's `pickletools` describes each); texts of Python 2 are read
as latin1. Instructions, nesting and all that is made of remembered bytes are bounded, so time and memory are, too.
"""

import codecs
import math
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minilop.data.contents import open_unpacked, read_exactly
from minilop.data.errors import DataError
from minilop.data.tar_files import too_large

MOST_BYTES = 2**29  # of a pickle; the official ones have up to 400 MB
MOST_INSTRUCTIONS = 2**21  # the official ones have some 300,000
MOST_KEYS = 1000  # of one dictionary
MOST_NESTING = 8
MOST_DIMENSIONS = 8
LONGEST_TEXT = 2**16  # bytes; longer ones are the content of an array, and stay a view of the pickle
LONGEST_INTEGER = 64  # bytes

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


class _Refused(Exception):
    """The pickle asks for something that is no array."""


class _Damaged(Exception):
    """The pickle makes no sense, for a reason in a few words."""


class _Name:
    """A name that the pickle may use, as a word."""

    def __init__(self, word: str) -> None:
        self.word = word


class _Made:
    """A dtype or an array on its way: made by REDUCE, completed by BUILD. It may be remembered in between."""

    def __init__(self, value: Any = None, is_array: bool = False) -> None:
        self.value, self.is_array = value, is_array


_MARK = object()


def unpickle_arrays(source: str | os.PathLike[str] | bytes | bytearray, name: str | None = None) -> Any:
    """What a pickle of arrays, numbers, texts, lists and dictionaries holds; texts of Python 2 are read as latin1.

    source  a path, or the pickle's bytes. Arrays are views of them where they can be, and so can be written for a
            bytearray or a path
    name    what to call it in a message, where it has no path of its own

    Raises DataError where the file cannot be read, is damaged, or asks for anything else, of which nothing is run.
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
        value = _Machine(source).run()
        _check_nesting(value)
        return value
    except _Refused as refused:
        raise DataError(
            f"{name} asks for {refused} where only arrays are admitted, and nothing of it was run; "
            "get the file again from its official source."
        ) from None
    except _Damaged as damage:
        reason = str(damage)
    except (IndexError, KeyError, ValueError, TypeError, struct.error, MemoryError):
        reason = SENSELESS
    raise DataError(f"{name} is not a pickle, or is damaged or truncated: {reason}; download it again.")


def whole_numbers(value: object) -> npt.NDArray[np.integer] | None:
    """An unpickled array of integers as it is, a list of integers as an array; None for anything else."""
    if isinstance(value, np.ndarray):
        return value if value.dtype.kind in "iu" else None
    if isinstance(value, list) and all(isinstance(number, int | np.integer) for number in value):
        try:
            return np.array(value, np.int64)
        except OverflowError:
            return None
    return None


def describe(value: object) -> str:
    """What was unpickled, in a few words."""
    if isinstance(value, np.ndarray):
        return f"{' x '.join(map(str, value.shape)) or 'one'} of type {value.dtype}"
    if isinstance(value, list | tuple | dict):
        return f"a {type(value).__name__} of {len(value):,}"
    return f"something of type {type(value).__name__}"


def _check_nesting(value: object) -> None:
    """Level by level, each container once, so that neither depth nor a container within itself costs anything."""
    level: list[Any] = [[value]]
    for _ in range(MOST_NESTING + 1):
        inner: dict[int, Any] = {}
        for container in level:
            elements = container.values() if isinstance(container, dict) else container
            for element in elements:
                if isinstance(element, list | tuple | dict):
                    inner[id(element)] = element
                elif isinstance(element, _Name):
                    raise _Refused(f"the name {element.word}")
        level = list(inner.values())
        if not level:
            return
    raise _Damaged(f"it nests more than {MOST_NESTING} lists in one another")


class _Machine:
    """Runs one pickle. Every method named in INSTRUCTIONS carries out one instruction."""

    def __init__(self, content: bytes | bytearray) -> None:
        self.content, self.view, self.place = content, memoryview(content), 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.used = 0  # bytes and characters that were made into something, each as often as it was

    def run(self) -> Any:
        for _ in range(MOST_INSTRUCTIONS):
            code = self.take(1)[0]
            if code == ord("."):
                return _finished(self.stack.pop())
            if code not in INSTRUCTIONS:
                raise _Damaged(f"byte {code:02x} is no instruction for arrays")
            INSTRUCTIONS[code](self)
        raise _Damaged(f"it has more than {MOST_INSTRUCTIONS:,} instructions")

    # What an instruction carries with it.

    def take(self, size: int) -> memoryview:
        """The next bytes."""
        taken = self.view[self.place : self.place + size]
        if len(taken) < size:
            raise _Damaged("it ends early")
        self.place += size
        return taken

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def sized(self, form: str) -> memoryview:
        """Bytes that follow their number."""
        return self.take(self.number(form))

    def line(self) -> bytes:
        """The bytes before the end of the line."""
        end = self.content.find(b"\n", self.place)
        if end < 0:
            raise _Damaged("it ends early")
        line = bytes(self.view[self.place : end])
        self.place = end + 1
        return line

    def integer(self, digits: bytes) -> int:
        if len(digits) > 3 * LONGEST_INTEGER:
            raise _Damaged("a number is too long")
        return int(digits)

    # What it does to the stack.

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise _Damaged(SENSELESS)
        return value

    def pop_to_mark(self) -> list[Any]:
        items = []
        while (item := self.stack.pop()) is not _MARK:  # IndexError where there is no mark
            items.append(_finished(item))
        return items[::-1]

    def top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise _Damaged(SENSELESS)
        return self.stack[-1]

    def protocol(self) -> None:
        if self.take(1)[0] > 5:
            raise _Damaged("its protocol is not known")

    def text(self, raw: bytes | memoryview) -> None:
        """A string of Python 2, which may be text or the content of an array."""
        self.push(str(raw, "latin1") if len(raw) <= LONGEST_TEXT else memoryview(raw))

    def bytes(self, raw: memoryview) -> None:
        self.push(bytes(raw) if len(raw) <= LONGEST_TEXT else raw)

    def unicode(self, raw: memoryview) -> None:
        # A long text is the content of an array, of characters up to 255; a wider one makes all take four bytes.
        if len(raw) > LONGEST_TEXT and np.frombuffer(raw, np.uint8).max() > 0xC3:
            raise _Damaged("a text is too long")
        self.push(str(raw, "utf-8", "surrogatepass"))

    def unicode_line(self) -> None:
        line = self.line()
        if len(line) > LONGEST_TEXT and re.search(rb"\\(u(?!00)|U)", line):
            raise _Damaged("a text is too long")
        self.push(line.decode("raw-unicode-escape"))

    def string_line(self) -> None:
        line = self.line().strip()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            raise _Damaged("a text lacks its quotes")
        self.text(codecs.escape_decode(line[1:-1])[0])  # type: ignore[attr-defined]

    def int_line(self) -> None:
        line = self.line()
        self.push(line == b"01" if line in (b"00", b"01") else self.integer(line))

    def long(self, size: int) -> None:
        if not 0 <= size <= LONGEST_INTEGER:
            raise _Damaged("a number is too long")
        self.push(int.from_bytes(self.take(size), "little", signed=True))

    def tuple_of(self, size: int) -> None:
        self.push(tuple([_finished(self.pop()) for _ in range(size)][::-1]))

    def append(self) -> None:
        value = _finished(self.pop())
        self.top(list).append(value)

    def appends(self) -> None:
        items = self.pop_to_mark()
        self.top(list).extend(items)

    def set_items(self, items: list[Any]) -> None:
        held = self.top(dict)
        if len(held) + len(items) // 2 > MOST_KEYS:
            raise _Damaged(f"a dictionary has more than {MOST_KEYS:,} keys")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | bytes | int):
                raise _Damaged("a key is no text")
            held[key] = value

    def set_item(self) -> None:
        value = _finished(self.pop())
        self.set_items([_finished(self.pop()), value])

    def new_dict(self) -> None:
        items = self.pop_to_mark()
        self.push({})
        self.set_items(items)

    def put(self, key: int) -> None:
        if not 0 <= key < MOST_INSTRUCTIONS:
            raise _Damaged(SENSELESS)
        self.memo[key] = self.stack[-1]

    def name(self, module: object, name: object) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise _Damaged("a name is no text")
        if (module, name) not in NAMES:
            raise _Refused(re.sub(r"[^\w.]", "?", f"{module}.{name}"[:200], flags=re.ASCII))
        self.push(_Name(NAMES[module, name]))

    def stack_name(self) -> None:
        name = self.pop()
        self.name(self.pop(), name)

    def use(self, values: tuple[Any, ...]) -> None:
        """Count what something is made of: bytes of this pickle, once as text and once as an array, and no oftener."""
        self.used += sum(len(value) for value in values if isinstance(value, str | bytes | memoryview))
        if self.used > 2 * len(self.view):
            raise _Damaged("it makes more bytes than it has")

    def reduce(self) -> None:
        arguments, name = self.pop(), self.pop()
        if not isinstance(arguments, tuple) or not isinstance(name, _Name):
            raise _Damaged("it calls what is no name")
        self.use(arguments)
        self.push(_call(name.word, arguments))

    def build(self) -> None:
        state = self.pop()
        made = self.top(_Made)
        if not isinstance(state, tuple):
            raise _Damaged("an array's state is no tuple")
        self.use(state)
        if made.is_array:
            made.value = _array_of_state(state)
        else:
            made.value = _dtype_of_state(made.value, state)


INSTRUCTIONS: dict[int, Callable[[_Machine], object]] = {
    ord(code): do
    for code, do in {
        "\x80": _Machine.protocol,
        "\x95": lambda m: m.take(8),  # the length of a frame
        "(": lambda m: m.push(_MARK),
        "N": lambda m: m.push(None),
        "\x88": lambda m: m.push(True),
        "\x89": lambda m: m.push(False),
        "I": _Machine.int_line,
        "L": lambda m: m.push(m.integer(m.line().removesuffix(b"L"))),
        "J": lambda m: m.push(m.number("<i")),
        "K": lambda m: m.push(m.number("B")),
        "M": lambda m: m.push(m.number("<H")),
        "\x8a": lambda m: m.long(m.number("B")),
        "\x8b": lambda m: m.long(m.number("<i")),
        "F": lambda m: m.push(float(m.line())),
        "G": lambda m: m.push(m.number(">d")),
        "S": _Machine.string_line,
        "T": lambda m: m.text(m.sized("<I")),
        "U": lambda m: m.text(m.sized("B")),
        "V": _Machine.unicode_line,
        "X": lambda m: m.unicode(m.sized("<I")),
        "\x8c": lambda m: m.unicode(m.sized("B")),
        "\x8d": lambda m: m.unicode(m.sized("<Q")),
        "B": lambda m: m.bytes(m.sized("<I")),
        "C": lambda m: m.bytes(m.sized("B")),
        "\x8e": lambda m: m.bytes(m.sized("<Q")),
        "\x96": lambda m: m.bytes(m.sized("<Q")),
        "]": lambda m: m.push([]),
        "a": _Machine.append,
        "e": _Machine.appends,
        "l": lambda m: m.push(m.pop_to_mark()),
        ")": lambda m: m.tuple_of(0),
        "t": lambda m: m.push(tuple(m.pop_to_mark())),
        "\x85": lambda m: m.tuple_of(1),
        "\x86": lambda m: m.tuple_of(2),
        "\x87": lambda m: m.tuple_of(3),
        "}": lambda m: m.push({}),
        "d": _Machine.new_dict,
        "s": _Machine.set_item,
        "u": lambda m: m.set_items(m.pop_to_mark()),
        "p": lambda m: m.put(m.integer(m.line())),
        "q": lambda m: m.put(m.number("B")),
        "r": lambda m: m.put(m.number("<I")),
        "\x94": lambda m: m.put(len(m.memo)),
        "g": lambda m: m.push(m.memo[m.integer(m.line())]),
        "h": lambda m: m.push(m.memo[m.number("B")]),
        "j": lambda m: m.push(m.memo[m.number("<I")]),
        "c": lambda m: m.name(m.line().decode(), m.line().decode()),
        "\x93": _Machine.stack_name,
        "R": _Machine.reduce,
        "b": _Machine.build,
    }.items()
}


def _finished(value: Any) -> Any:
    """A value as it goes into a container: an array or a dtype must be complete by then."""
    if value is _MARK or (isinstance(value, _Made) and value.value is None):
        raise _Damaged(SENSELESS)
    return value.value if isinstance(value, _Made) else value


def _call(word: str, arguments: tuple[Any, ...]) -> Any:
    """What a name stands for, made of the arguments. A wrong number of them raises ValueError."""
    if word == "_reconstruct":
        array, _, _ = arguments  # its shape and type here are placeholders
        if not (isinstance(array, _Name) and array.word == "ndarray"):
            raise _Damaged(SENSELESS)
        return _Made(is_array=True)
    if word == "dtype":
        return _Made(_dtype(*arguments[:1]))
    if word == "scalar":
        dtype, content = arguments
        return _array((), dtype, False, content)[()]
    if word == "_frombuffer":
        content, dtype, shape, order = arguments
        return _array(shape, dtype, order == "F", content)
    if word == "encode":  # how the oldest binary protocols store bytes
        text, encoding = arguments
        if encoding != "latin1" or not isinstance(text, str):
            raise _Refused("an encoding other than latin1")
        return text.encode("latin1")
    if word == "bytes" and arguments == ():  # and empty ones
        return b""
    raise _Refused(f"a call of {word}")


def _dtype(code: Any) -> np.dtype:
    """A type of numbers; one of Python objects, of text, or with fields, is no picture's."""
    code = str(code, "latin1") if isinstance(code, bytes) else code
    if not isinstance(code, str) or not re.fullmatch("[biuf][0-9]{1,2}", code):
        is_object = isinstance(code, str) and code.startswith("O")
        raise _Refused(f"an array of type {'object' if is_object else 'other than numbers'}")
    return np.dtype(code)


def _dtype_of_state(dtype: Any, state: tuple[Any, ...]) -> np.dtype:
    """The dtype with the byte order of its state, whose other entries must say what its code has said."""
    version, order, subarray, names, fields, size, _, _ = state
    if (subarray, names, fields) != (None, None, None):
        raise _Refused("an array with fields")
    order = str(order, "latin1") if isinstance(order, bytes) else order
    if version != 3 or order not in ("<", ">", "|", "=") or size not in (-1, dtype.itemsize):
        raise _Damaged("a type makes no sense")
    return dtype.newbyteorder(order)


def _array_of_state(state: tuple[Any, ...]) -> np.ndarray:
    version, shape, dtype, is_fortran, content = state
    if version != 1:
        raise _Damaged("an array's state makes no sense")
    return _array(shape, dtype, bool(is_fortran), content)


def _array(shape: Any, dtype: Any, is_fortran: bool, content: Any) -> np.ndarray:
    """An array of bytes that are there: exactly as many as shape and type need."""
    if isinstance(content, str):
        content = content.encode("latin1")
    if not isinstance(content, memoryview):
        content = bytearray(content) if isinstance(content, bytes) else None
    is_shape = isinstance(shape, tuple) and len(shape) <= MOST_DIMENSIONS
    if not is_shape or not all(type(size) is int and 0 <= size <= MOST_BYTES for size in shape):
        raise _Damaged("an array's shape makes no sense")
    if not isinstance(dtype, np.dtype) or content is None:
        raise _Damaged("an array lacks its type or its bytes")
    expected = math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise _Damaged(f"an array has {len(content):,} bytes where its shape and type need {expected:,}")
    flat = np.frombuffer(content, dtype) if expected else np.zeros(0, dtype)
    return flat.reshape(shape, order="F" if is_fortran else "C")
