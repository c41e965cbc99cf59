"""Printing for long commands: lines that stay, and the current progress.

On a terminal the progress is one live line that is overwritten. Elsewhere it is an ordinary line every ten seconds.
"""

import os
import shutil
import threading
import time
from typing import TextIO

LIVE_INTERVAL = 0.2  # seconds between updates of the live line
LINE_INTERVAL = 10.0  # seconds between lines of progress without a terminal


class OutputError(Exception):
    """The output of the command cannot be written; the message is one sentence."""


def write(text: str, stream: TextIO) -> None:
    """Write `text` immediately. Raises OutputError if that is impossible."""
    try:
        stream.write(text)
        stream.flush()
    except OSError as problem:
        raise OutputError(f"The output cannot be written ({problem.strerror}); send it elsewhere.") from None


def discard(stream: TextIO) -> None:
    """Send the rest of a stream that cannot be written to the null device; Python would complain about it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def duration(seconds: float) -> str:
    """A time in words, rounded because it is an estimate: "59 s", "12 min", "2.5 h"."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{seconds / 3600:.1f} h"


class ProgressPrinter:
    """Prints to one stream; several threads may use it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.is_terminal = stream.isatty()
        self.live_length = 0  # characters of the live line; 0 if there is none
        self.printed_at = time.monotonic()
        self.lock = threading.RLock()

    def say(self, line: str) -> None:
        """Print a line that stays."""
        with self.lock:
            self.clear()
            write(f"{line}\n", self.stream)
            self.printed_at = time.monotonic()

    def show(self, line: str) -> None:
        """Print the current progress, unless the last line is too recent."""
        with self.lock:
            elapsed = time.monotonic() - self.printed_at
            if self.is_terminal and elapsed >= LIVE_INTERVAL:
                line = line[: shutil.get_terminal_size().columns - 1]
                write("\r" + line.ljust(self.live_length), self.stream)
                self.live_length, self.printed_at = len(line), time.monotonic()
            elif not self.is_terminal and elapsed >= LINE_INTERVAL:
                self.say(line)

    def clear(self) -> None:
        """Erase the live line."""
        with self.lock:
            if self.live_length:
                write("\r" + " " * self.live_length + "\r", self.stream)
                self.live_length = 0
