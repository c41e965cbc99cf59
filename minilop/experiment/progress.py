"""The progress of a command: before it starts what it will do, then how much is done and how long the rest takes."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self, TextIO

from minilop.data.printing import ProgressPrinter, duration
from minilop.experiment.blocks import Block

START_SECONDS = 2.0  # about how long the processes take to start
FIGURE_SECONDS = 2.0  # about how long the figures of one problem take


def announce(blocks: Sequence[Block], num_done: int, processes: int) -> str:
    """A sentence that says what will be done and about how long it takes."""
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
    """A number and its noun, in the singular or plural."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


class Progress:
    """Receives the reports of an engine and prints them.

    `finish_problem(name)` is called when the last block of a problem ends, and yields lines to print. If `beside`, a
    thread calls it, so that the blocks of other problems need not wait; leaving the `with` statement waits for it.
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
        self.fractions = {block.key: 0.0 for block in blocks}  # of the work that remained at the start
        self.open = set(self.blocks)
        self.processes = processes
        self.finish_problem = finish_problem
        self.thread = ThreadPoolExecutor(1) if beside else None
        self.finishing: list[Future[None]] = []
        self.printer = ProgressPrinter(stream)
        self.start_time: float | None = None  # of the first report
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """Wait until all problems are finished; after an error only until the current one is.

        A second interruption ends the process at once. That is safe, because figures are written atomically.
        """
        try:
            for future in self.finishing if kind is None else ():
                future.result()  # raises the error of the thread, if any
        except KeyboardInterrupt:
            self.printer.say("Stopping after the figures of the current problem; interrupt again to stop immediately.")
            raise
        finally:
            if self.thread:
                try:
                    self.thread.shutdown(cancel_futures=True)
                except KeyboardInterrupt:
                    os._exit(130)

    def progressed(self, block: Block, progress: float) -> None:
        self.start_time = self.start_time or time.monotonic()
        # Negative if the checkpoint could not be used and the block started again.
        self.fractions[block.key] = max(0.0, (progress - block.progress) / (1 - block.progress))
        self.printer.show(self._standing())

    def finished(self, block: Block, remark: str = "") -> None:
        self._close(block, f"{block}, done{f'; {remark}' if remark else ''}.")

    def failed(self, block: Block, sentence: str) -> None:
        """Print the sentence, unless another block has failed with the same one."""
        is_new = sentence not in self.failures
        if is_new:
            self.failures.append(sentence)
        del self.blocks[block.key]  # its work is neither done nor left
        self._close(block, sentence if is_new else "")

    def warn(self, sentence: str) -> None:
        self.printer.say(f"Warning: {sentence}")

    def finish(self, problem: str) -> None:
        """Finish a problem without open blocks."""
        if self.thread:
            self.finishing.append(self.thread.submit(self._finish, problem))
        else:
            self._finish(problem)

    def _finish(self, problem: str) -> None:
        for line in self.finish_problem(problem):
            self.printer.say(line)

    def _close(self, block: Block, line: str) -> None:
        self.fractions[block.key] = 1.0
        self.open.discard(block.key)
        if line:
            self.printer.say(f"{line} {self._standing()}" if self.open else line)
        if all(problem != block.experiment.problem for problem, _, _ in self.open):
            self.finish(block.experiment.problem)

    def _standing(self) -> str:
        done = sum(block.seconds * self.fractions[key] for key, block in self.blocks.items())
        total = sum(block.seconds for block in self.blocks.values()) or 1.0
        fraction = done / total
        # The estimates of the scales come from another machine; this machine's own speed is better once it is known.
        elapsed = time.monotonic() - (self.start_time or time.monotonic())
        processes = min(self.processes, len(self.open))
        left = elapsed * (1 - fraction) / fraction if fraction > 0.02 else (total - done) / processes
        undrawn = len({problem for problem, _, _ in self.open}) + sum(not future.done() for future in self.finishing)
        left = max(left + FIGURE_SECONDS, FIGURE_SECONDS * undrawn)
        runs_left = sum(len(self.blocks[key].seeds) for key in self.open)
        return f"{fraction:.0%} of the work, {count(runs_left, 'run')} to go, about {duration(left)} left"
