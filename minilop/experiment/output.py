"""Prints for the command: replaces characters that cannot be printed, and reports a full disk in one sentence."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from minilop.data.printing import OutputError, discard, write
from minilop.experiment.runner import Interrupted


@contextmanager
def output(command: str) -> Iterator[None]:
    """Context of the command, in which characters that cannot be encoded are escaped; `command` is the command line.

    An interruption ends the command with status 130, and a failure to print with status 1.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed before the command started
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
        getattr(sys, name).reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        except (Interrupted, KeyboardInterrupt):
            tell("", f"Interrupted; completed work is kept. Continue with: {command}")
            sys.exit(130)
    except OutputError as failure:
        last_words = f"{failure} Completed work is kept. Continue with: {command}\n"
        for line, stream in (("", sys.stdout), (last_words, sys.stderr)):
            try:
                write(line, stream)
            except OutputError:
                discard(stream)
        sys.exit(1)


def tell(*lines: str) -> None:
    write("".join(f"{line}\n" for line in lines), sys.stdout)


def complain(line: str) -> None:
    write(f"{line}\n", sys.stderr)


def warn(sentence: str) -> None:
    complain(f"Warning: {sentence}")
