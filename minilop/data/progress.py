"""The progress of the data command: files of a conversion, bytes of a download."""

import time

from minilop.data.fetching import Progress
from minilop.data.imagenet32_conversion import Report
from minilop.data.printing import ProgressPrinter, duration


def file_report(printer: ProgressPrinter) -> Report:
    """Returns a function that prints the progress of a conversion, which proceeds file by file."""
    start_time = time.monotonic()
    num_before: int | None = None  # files that an earlier command converted

    def report(done: int, total: int, current: str) -> None:
        nonlocal num_before
        is_first = num_before is None
        if num_before is None:
            num_before = done
            if done:
                printer.say(f"Continuing after {done} of {total} files.")
        line = f"{done} of {total} files are converted" + (f", now {current}" if current else "")
        line += _time_left(start_time, done - num_before, total - done)
        if is_first or not current:
            printer.say(line)
        else:
            printer.show(line)

    return report


def download_progress(printer: ProgressPrinter) -> Progress:
    """Returns a function that prints the progress of downloads, which arrive in many small pieces, file by file."""
    current, start_time, num_before = "", 0.0, 0

    def progress(name: str, done: int, total: int) -> None:
        nonlocal current, start_time, num_before
        if name != current or done < num_before:
            current, start_time, num_before = name, time.monotonic(), done
        of_all = f" of {total / 1e6:.1f}" if total else ""
        time_left = _time_left(start_time, done - num_before, total - done)
        printer.show(f"{name}: {done / 1e6:.1f}{of_all} MB{time_left}")

    return progress


def _time_left(start_time: float, done: int, to_do: int) -> str:
    """The time left, at the average speed so far; empty if nothing is done or nothing is left."""
    if done <= 0 or to_do <= 0:
        return ""
    return f", about {duration((time.monotonic() - start_time) / done * to_do)} left"
