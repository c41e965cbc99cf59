"""How far a long command is: a live line on a terminal, else a line now and then."""

import sys
import time

import click

from minilop.data.fetching import Progress
from minilop.data.imagenet32 import Report

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_LIVE_LINES = 0.2
WIDTH = 78  # of a live line, in characters


class Narrator:
    def __init__(self) -> None:
        self.live = sys.stdout.isatty()
        self.said = time.monotonic()  # when the user last heard something
        self.is_open = False  # whether a live line stands there that the next one replaces

    def say(self, line: str) -> None:
        """Print a line that stays."""
        click.echo("\n" * self.is_open + line)
        self.is_open, self.said = False, time.monotonic()

    def show(self, line: str) -> None:
        """Print how far it is, in the place of the last such line, or where the user has heard nothing for a while."""
        since = time.monotonic() - self.said
        if self.live and since >= SECONDS_BETWEEN_LIVE_LINES:
            click.echo(f"\r{line[:WIDTH]:<{WIDTH}}", nl=False)
            self.is_open, self.said = True, time.monotonic()
        elif not self.live and since >= SECONDS_BETWEEN_LINES:
            self.say(line)


def file_report(narrator: Narrator) -> Report:
    """For a conversion, which goes from file to file."""
    began = time.monotonic()
    first = -1

    def report(done: int, total: int, what: str) -> None:
        nonlocal first
        is_first = first < 0
        if is_first:
            first = done
            if done:
                narrator.say(f"Going on after {done} of {total} files.")
        line = f"{done} of {total} files are in" + (f", now {what}" if what else "")
        line += _time_left(began, done - first, total - done)
        if is_first or not what:
            narrator.say(line)
        else:
            narrator.show(line)

    return report


def download_progress(narrator: Narrator) -> Progress:
    """For downloads, which come in many small pieces, one file after the other."""
    current, began, first = "", 0.0, 0

    def progress(name: str, done: int, total: int) -> None:
        nonlocal current, began, first
        if name != current or done < first:
            current, began, first = name, time.monotonic(), done
        of_all = f" of {total / 1e6:.1f}" if total else ""
        narrator.show(f"{name}: {done / 1e6:.1f}{of_all} MB" + _time_left(began, done - first, total - done))

    return progress


def _time_left(began: float, done: int, to_do: int) -> str:
    """In words, from how long it took to do so much; empty where that is not known, or nothing is left."""
    if done <= 0 or to_do <= 0:
        return ""
    seconds = (time.monotonic() - began) / done * to_do
    return f", about {f'{max(1, round(seconds))} s' if seconds < 60 else f'{round(seconds / 60)} min'} left"
