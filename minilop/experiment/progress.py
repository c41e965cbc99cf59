"""What the user sees while blocks run: first what will be done, then how far it is and how long it takes."""

import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self, TextIO

from minilop.experiment.blocks import Block
from minilop.experiment.output import write

START_SECONDS = 2.0  # about what the start of the processes takes
FIGURE_SECONDS = 2.0  # and the figures of a problem, one problem after the other
SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_LIVE_LINES = 0.2


def duration(seconds: float) -> str:
    """`seconds` in words that claim no more precision than an estimate has."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{seconds / 3600:.1f} h"


def announce(blocks: Sequence[Block], num_done: int, processes: int) -> str:
    """What will be done and about how long, before anything is."""
    if not blocks:
        return f"{count(num_done, 'run')} done; nothing is left to compute."
    to_do = sum(len(block.seeds) for block in blocks)
    resumed = sum(len(block.seeds) for block in blocks if block.progress > 0)
    aside = f" ({resumed} from a checkpoint)" if resumed else ""
    processes = min(processes, len(blocks))
    where = f"in {count(len(blocks), 'block')} on {count(processes, 'process', 'processes')}"
    all_figures = FIGURE_SECONDS * len({block.experiment.problem for block in blocks})
    work = (sum(block.seconds for block in blocks) + all_figures) / processes
    longest = max(block.seconds for block in blocks) + FIGURE_SECONDS
    estimate = f"about {duration(START_SECONDS + max(work, longest, all_figures))}"
    if any(block.experiment.changes for block in blocks):
        estimate += " at the scale's own settings"
    return f"{count(num_done, 'run')} done, {to_do} to do{aside} {where}: {estimate}."


def count(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


class Progress:
    """Listens to an engine and tells the user: one live line on a terminal, else a line now and then.

    `finish_problem` is called with a problem's name as soon as no block of it is left, and gives lines to print. With
    `beside` that is done in a thread, so that the blocks of other problems need not wait; its end is that of `with`.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        processes: int,
        finish_problem: Callable[[str], Iterable[str]],
        stream: TextIO,
        beside: bool = False,
    ) -> None:
        self.blocks = {block.key: block for block in blocks}
        self.fractions = {block.key: 0.0 for block in blocks}  # done of what remained at the start
        self.open = set(self.blocks)
        self.processes = processes
        self.finish_problem = finish_problem
        self.thread = ThreadPoolExecutor(1) if beside else None
        self.finishing: list[Future[None]] = []
        self.stream = stream
        self.live = stream.isatty()
        self.live_width = 0  # of what the live line shows now
        self.lock = threading.RLock()  # lines may come from two threads
        self.shown = time.monotonic()
        self.began: float | None = None  # when the first block did
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """Wait until the last problem is finished, or after an error for one that is being finished."""
        try:
            for one in self.finishing if kind is None else ():
                one.result()  # raises what was raised there
        finally:
            if self.thread:
                self.thread.shutdown(cancel_futures=True)

    def progressed(self, block: Block, progress: float) -> None:
        self.began = self.began or time.monotonic()
        # Below zero where a checkpoint proved useless and the block began anew.
        self.fractions[block.key] = max(0.0, (progress - block.progress) / (1 - block.progress))
        since = time.monotonic() - self.shown
        if self.live and since >= SECONDS_BETWEEN_LIVE_LINES:
            self._show_live(self._standing())
        elif not self.live and since >= SECONDS_BETWEEN_LINES:
            self.say(self._standing())

    def finished(self, block: Block, remark: str = "") -> None:
        self._close(block, f"{block}, done{f'; {remark}' if remark else ''}.")

    def failed(self, block: Block, sentence: str) -> None:
        """A `sentence` that was said of another block is not said again."""
        told = sentence in self.failures
        if not told:
            self.failures.append(sentence)
        del self.blocks[block.key]  # its work is neither done nor to do
        self._close(block, "" if told else sentence)

    def warn(self, sentence: str) -> None:
        self.say(f"Warning: {sentence}")

    def say(self, line: str) -> None:
        """Print a line that stays."""
        with self.lock:
            self._show_live("")
            write(f"{line}\n", self.stream)
            self.shown = time.monotonic()

    def _close(self, block: Block, line: str) -> None:
        self.fractions[block.key] = 1.0
        self.open.discard(block.key)
        if line:
            self.say(f"{line} {self._standing()}" if self.open else line)
        if all(problem != block.experiment.problem for problem, _, _ in self.open):
            self.finish(block.experiment.problem)

    def finish(self, problem: str) -> None:
        """Finish a problem of which no block is left."""
        if self.thread:
            self.finishing.append(self.thread.submit(self._finish, problem))
        else:
            self._finish(problem)

    def _finish(self, problem: str) -> None:
        for result in self.finish_problem(problem):
            self.say(result)

    def _standing(self) -> str:
        done = sum(block.seconds * self.fractions[key] for key, block in self.blocks.items())
        total = sum(block.seconds for block in self.blocks.values()) or 1.0
        share = done / total
        # The estimate was made on another machine; once there is something to go by, this machine's own pace counts.
        elapsed = time.monotonic() - (self.began or time.monotonic())
        processes = min(self.processes, len(self.open))
        left = elapsed * (1 - share) / share if share > 0.02 else (total - done) / processes
        undrawn = len({problem for problem, _, _ in self.open}) + sum(not one.done() for one in self.finishing)
        left = max(left + FIGURE_SECONDS, FIGURE_SECONDS * undrawn)
        runs_left = sum(len(self.blocks[key].seeds) for key in self.open)
        return f"{share:.0%} of the work, {count(runs_left, 'run')} to go, about {duration(left)} left"

    def _show_live(self, line: str) -> None:
        """Write over the live line; an empty one clears it."""
        with self.lock:
            if self.live and (line or self.live_width):
                line = line[: shutil.get_terminal_size().columns - 1]
                write("\r" + line.ljust(self.live_width) + ("" if line else "\r"), self.stream)
                self.live_width = len(line)
                self.shown = time.monotonic()
