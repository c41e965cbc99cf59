"""The stack machine that runs a pickle, reduced to the instructions for arrays, numbers, strings and containers.

A pickle is a program. Each instruction is one byte, followed by its operands; it changes the stack or the memo, which
stores values by number. Three instructions make arrays, and `pickled_arrays` defines what they do:

    GLOBAL    pushes a name, which is only a word here, never a function
    REDUCE    pops a name and a tuple of arguments, and pushes what the name makes of them
    BUILD     pops a state, and completes the dtype or the array on top of the stack with it

Python's `pickletools` describes each instruction of the protocols 0 to 5. Strings of Python 2 are read as latin1. The
number of instructions and the number of bytes used to make objects are limited, and so are time and memory.
"""

import codecs
import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from minilop.data.pickled_arrays import MARK, NAMES, SENSELESS, Damaged, Name, Refused, Unfinished, call, finished

MOST_INSTRUCTIONS = 2**21  # the official files have about 300,000
MOST_KEYS = 1000  # of one dictionary
LONGEST_STRING = 2**16  # bytes; a longer string holds the elements of an array, and remains a view of the pickle
LONGEST_INTEGER = 64  # bytes


class Machine:
    """Runs one pickle; INSTRUCTIONS maps each instruction to what it does."""

    def __init__(self, content: bytes | bytearray) -> None:
        self.content, self.view, self.place = content, memoryview(content), 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.used = 0  # bytes and characters of which objects were made, counted each time

    def run(self) -> Any:
        for _ in range(MOST_INSTRUCTIONS):
            code = self.take(1)[0]
            if code == ord("."):
                return finished(self.stack.pop())
            if code not in INSTRUCTIONS:
                raise Damaged(f"byte {code:02x} is not an instruction for arrays")
            INSTRUCTIONS[code](self)
        raise Damaged(f"it has more than {MOST_INSTRUCTIONS:,} instructions")

    # Reading operands.

    def take(self, size: int) -> memoryview:
        """The next bytes."""
        taken = self.view[self.place : self.place + size]
        if len(taken) < size:
            raise Damaged("it ends early")
        self.place += size
        return taken

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def sized(self, form: str) -> memoryview:
        """Bytes preceded by their number."""
        return self.take(self.number(form))

    def line(self) -> bytes:
        """The bytes up to the end of the line."""
        end = self.content.find(b"\n", self.place)
        if end < 0:
            raise Damaged("it ends early")
        line = bytes(self.view[self.place : end])
        self.place = end + 1
        return line

    def integer(self, digits: bytes) -> int:
        if len(digits) > 3 * LONGEST_INTEGER:
            raise Damaged("a number is too long")
        return int(digits)

    # Changing the stack.

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is MARK:
            raise Damaged(SENSELESS)
        return value

    def pop_to_mark(self) -> list[Any]:
        items = []
        while (item := self.stack.pop()) is not MARK:  # IndexError if there is no mark
            items.append(finished(item))
        return items[::-1]

    def top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise Damaged(SENSELESS)
        return self.stack[-1]

    def protocol(self) -> None:
        if self.take(1)[0] > 5:
            raise Damaged("its protocol is unknown")

    def text(self, raw: bytes | memoryview) -> None:
        """Push a string of Python 2, which holds either text or the elements of an array."""
        self.push(str(raw, "latin1") if len(raw) <= LONGEST_STRING else memoryview(raw))

    def bytes(self, raw: memoryview) -> None:
        self.push(bytes(raw) if len(raw) <= LONGEST_STRING else raw)

    def unicode(self, raw: memoryview) -> None:
        # A long string holds the elements of an array, so its characters are at most 255. A larger one would make
        # Python use four bytes for each character.
        if len(raw) > LONGEST_STRING and np.frombuffer(raw, np.uint8).max() > 0xC3:
            raise Damaged("a string is too long")
        self.push(str(raw, "utf-8", "surrogatepass"))

    def unicode_line(self) -> None:
        line = self.line()
        if len(line) > LONGEST_STRING and re.search(rb"\\(u(?!00)|U)", line):
            raise Damaged("a string is too long")
        self.push(line.decode("raw-unicode-escape"))

    def string_line(self) -> None:
        line = self.line().strip()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            raise Damaged("a string has no quotes")
        self.text(codecs.escape_decode(line[1:-1])[0])  # type: ignore[attr-defined]

    def int_line(self) -> None:
        line = self.line()
        self.push(line == b"01" if line in (b"00", b"01") else self.integer(line))

    def long(self, size: int) -> None:
        if not 0 <= size <= LONGEST_INTEGER:
            raise Damaged("a number is too long")
        self.push(int.from_bytes(self.take(size), "little", signed=True))

    def pop_items(self, number: int) -> list[Any]:
        return [finished(self.stack.pop()) for _ in range(number)][::-1]

    def extend(self, items: list[Any]) -> None:
        self.top(list).extend(items)

    def set_items(self, items: list[Any]) -> None:
        held = self.top(dict)
        if len(held) + len(items) // 2 > MOST_KEYS:
            raise Damaged(f"a dictionary has more than {MOST_KEYS:,} keys")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | bytes | int):
                raise Damaged("a key is not a string")
            held[key] = value

    def new_dict(self) -> None:
        items = self.pop_to_mark()
        self.push({})
        self.set_items(items)

    def put(self, key: int) -> None:
        if not 0 <= key < MOST_INSTRUCTIONS:
            raise Damaged(SENSELESS)
        self.memo[key] = self.stack[-1]

    def name(self, module: object, name: object) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise Damaged("a name is not a string")
        if (module, name) not in NAMES:
            raise Refused(re.sub(r"[^\w.]", "?", f"{module}.{name}"[:200], flags=re.ASCII))
        self.push(Name(NAMES[module, name]))

    def use(self, values: tuple[Any, ...]) -> None:
        """Count the bytes of which an object is made; each byte of the pickle makes a string and an array at most."""
        self.used += sum(len(value) for value in values if isinstance(value, str | bytes | memoryview))
        if self.used > 2 * len(self.view):
            raise Damaged("its objects have more bytes than the pickle")

    def reduce(self) -> None:
        arguments, name = self.pop(), self.pop()
        if not isinstance(arguments, tuple) or not isinstance(name, Name):
            raise Damaged("it calls something other than a name")
        self.use(arguments)
        self.push(call(name.word, arguments))

    def build(self) -> None:
        state = self.pop()
        unfinished = self.top(Unfinished)
        if not isinstance(state, tuple):
            raise Damaged("the state of an array is not a tuple")
        self.use(state)
        unfinished.complete(state)


INSTRUCTIONS: dict[int, Callable[[Machine], object]] = {
    ord(code): do
    for code, do in {
        "\x80": Machine.protocol,
        "\x95": lambda m: m.take(8),  # the length of a frame
        "(": lambda m: m.push(MARK),
        "N": lambda m: m.push(None),
        "\x88": lambda m: m.push(True),
        "\x89": lambda m: m.push(False),
        "I": Machine.int_line,
        "L": lambda m: m.push(m.integer(m.line().removesuffix(b"L"))),
        "J": lambda m: m.push(m.number("<i")),
        "K": lambda m: m.push(m.number("B")),
        "M": lambda m: m.push(m.number("<H")),
        "\x8a": lambda m: m.long(m.number("B")),
        "\x8b": lambda m: m.long(m.number("<i")),
        "F": lambda m: m.push(float(m.line())),
        "G": lambda m: m.push(m.number(">d")),
        "S": Machine.string_line,
        "T": lambda m: m.text(m.sized("<I")),
        "U": lambda m: m.text(m.sized("B")),
        "V": Machine.unicode_line,
        "X": lambda m: m.unicode(m.sized("<I")),
        "\x8c": lambda m: m.unicode(m.sized("B")),
        "\x8d": lambda m: m.unicode(m.sized("<Q")),
        "B": lambda m: m.bytes(m.sized("<I")),
        "C": lambda m: m.bytes(m.sized("B")),
        "\x8e": lambda m: m.bytes(m.sized("<Q")),
        "\x96": lambda m: m.bytes(m.sized("<Q")),
        "]": lambda m: m.push([]),
        "a": lambda m: m.extend(m.pop_items(1)),
        "e": lambda m: m.extend(m.pop_to_mark()),
        "l": lambda m: m.push(m.pop_to_mark()),
        ")": lambda m: m.push(()),
        "t": lambda m: m.push(tuple(m.pop_to_mark())),
        "\x85": lambda m: m.push(tuple(m.pop_items(1))),
        "\x86": lambda m: m.push(tuple(m.pop_items(2))),
        "\x87": lambda m: m.push(tuple(m.pop_items(3))),
        "}": lambda m: m.push({}),
        "d": Machine.new_dict,
        "s": lambda m: m.set_items(m.pop_items(2)),
        "u": lambda m: m.set_items(m.pop_to_mark()),
        "p": lambda m: m.put(m.integer(m.line())),
        "q": lambda m: m.put(m.number("B")),
        "r": lambda m: m.put(m.number("<I")),
        "\x94": lambda m: m.put(len(m.memo)),
        "g": lambda m: m.push(m.memo[m.integer(m.line())]),
        "h": lambda m: m.push(m.memo[m.number("B")]),
        "j": lambda m: m.push(m.memo[m.number("<I")]),
        "c": lambda m: m.name(m.line().decode(), m.line().decode()),
        "\x93": lambda m: m.name(*m.pop_items(2)),
        "R": Machine.reduce,
        "b": Machine.build,
    }.items()
}
