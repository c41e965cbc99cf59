"""What the command prints: a letter that cannot be printed is replaced, and a full disk is told in a sentence."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from minilop.experiment.runner import Interrupted


class OutputError(Exception):
    """The command's output cannot be written; the message is one sentence."""


@contextmanager
def output(command: str) -> Iterator[None]:
    """Within it no line ends the command because a letter is missing where it goes; `command` is what continues it.

    Ends the command with status 130 where it is interrupted, and with status 1 where nothing can be printed.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed before the command began
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
        getattr(sys, name).reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        except (Interrupted, KeyboardInterrupt):
            tell("", f"Interrupted; what was reached is kept. Go on with: {command}")
            sys.exit(130)
    except OutputError as failure:
        last_words = f"{failure} What was reached is kept. Go on with: {command}\n"
        for line, stream in (("", sys.stdout), (last_words, sys.stderr)):
            try:
                write(line, stream)
            except OutputError:  # Python tries again as it ends, and complains, unless it can
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        sys.exit(1)


def write(text: str, stream: TextIO) -> None:
    """Write `text` now. Raises OutputError where that is impossible."""
    try:
        stream.write(text)
        stream.flush()
    except OSError as problem:
        raise OutputError(f"The output cannot be written ({problem.strerror}); send it elsewhere.") from None


def tell(*lines: str) -> None:
    write("".join(f"{line}\n" for line in lines), sys.stdout)


def complain(line: str) -> None:
    write(f"{line}\n", sys.stderr)


def warn(sentence: str) -> None:
    complain(f"Warning: {sentence}")
