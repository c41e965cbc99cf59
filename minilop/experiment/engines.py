"""Engines: where the blocks are run, one after the other in this process or side by side in processes of their own.

A block that fails is tried once more from its last checkpoint, and given up after that; a killed process (memory ran
out, say) is such a failure, and so is one that alone was asked to stop. A checkpoint from which a block failed twice is
set aside, lest it fail in every later command. A user's mistake is told at once. The other blocks go on in each case.
"""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Protocol

from minilop.experiment.blocks import Block
from minilop.experiment.cores import available_cores
from minilop.experiment.runner import Interrupted, Workplace, stop_on_signals
from minilop.experiment.settings import SettingsError, shorten, unknown
from minilop.experiment.workers import Ending, Listener, attempt, hand_over, receive, start_worker


class Engine(Protocol):
    """Runs blocks."""

    processes: int

    def run(self, blocks: Sequence[Block], workplace: Workplace, listener: Listener) -> None:
        """Run all blocks, handed out in their order. Raises Interrupted after SIGINT or SIGTERM."""


def choose_engine(text: str | None, backend: str) -> Engine:
    """The engine named by `serial`, `process` or `process:n`.

    Without a text it is one process per available core, or a single one for a GPU, which the processes would share.
    Raises SettingsError for any other text.
    """
    name, colon, count = (text or ("process:1" if backend == "cupy" else "process")).partition(":")
    if name == "serial" and not colon:
        return SerialEngine()
    if name == "process" and not colon:
        return ProcessEngine(available_cores())
    if name == "process" and re.fullmatch("[1-9][0-9]{0,3}", count):
        return ProcessEngine(int(count))
    if name in ("serial", "process"):
        raise SettingsError(
            f"The engine {shorten(text or '')!r} is not understood; choose serial, process, or process:2 and the like."
        )
    raise unknown("engine", name, ("serial", "process"))


class SerialEngine:
    """One block after the other in this very process."""

    processes = 1

    def run(self, blocks: Sequence[Block], workplace: Workplace, listener: Listener) -> None:
        queue = _Queue(blocks, listener)
        with stop_on_signals() as stop:
            while queue.waiting and not stop.requests:
                block = queue.waiting.popleft()

                def report(progress: float, block: Block = block) -> None:
                    listener.progressed(block, progress)

                queue.ended(block, attempt(block, workplace, report, listener.warn, stop))
            if stop.requests:
                raise Interrupted


class ProcessEngine:
    """Up to `processes` blocks side by side. A process does one block after another, until one fails in it."""

    def __init__(self, processes: int) -> None:
        self.processes = processes

    def run(self, blocks: Sequence[Block], workplace: Workplace, listener: Listener) -> None:
        queue = _Queue(blocks, listener)
        workers: dict[Connection, tuple[BaseProcess, Block]] = {}
        requests = 0  # to stop, of those that were passed on
        with stop_on_signals() as stop:
            try:
                while workers or (queue.waiting and not stop.requests):
                    while queue.waiting and len(workers) < self.processes and not stop.requests:
                        block = queue.waiting.popleft()
                        try:
                            connection, process = start_worker(workplace)
                        except SettingsError as mistake:
                            queue.ended(block, Ending("mistake", str(mistake)))
                            continue
                        workers[connection] = (process, block)
                        hand_over(connection, block)
                    if stop.requests > requests:
                        requests = stop.requests
                        self._pass_on(requests, [process for process, _ in workers.values()], listener)
                    ready = wait(list(workers), timeout=0.5)
                    for connection in [connection for connection in workers if connection in ready]:
                        process, block = workers[connection]
                        ending = receive(connection, process, block, listener, stop)
                        if ending is not None:
                            queue.ended(block, ending)
                            if ending.kind not in ("done", "mistake") or not queue.waiting or stop.requests:
                                connection.close()  # so the worker ends
                                process.join()
                                del workers[connection]
                                continue
                            workers[connection] = (process, queue.waiting.popleft())
                            hand_over(connection, workers[connection][1])
            finally:
                for process, _ in workers.values():  # some are left only after an error of our own
                    process.terminate()
            if stop.requests:
                raise Interrupted

    def _pass_on(self, requests: int, processes: Sequence[BaseProcess], listener: Listener) -> None:
        """Ask the workers to save and leave; after a second request end them as they are."""
        if requests == 1:
            listener.warn("stopping as soon as the steps on their way are done and saved; ask again to stop at once.")
        for process in processes:
            if requests == 1:
                process.terminate()
            else:
                process.kill()


class _Queue:
    """The blocks that wait, and the rule that a failed block comes back once."""

    def __init__(self, blocks: Sequence[Block], listener: Listener) -> None:
        self.waiting = deque(blocks)
        self.listener = listener

    def ended(self, block: Block, ending: Ending) -> None:
        if ending.kind == "done":
            self.listener.finished(block, ending.sentence)
        elif ending.kind == "mistake":
            self.listener.failed(block, f"{block.experiment.problem}: {ending.sentence}")
        elif ending.kind == "failure" and block.tried_before:
            self.listener.failed(block, f"{block}, failed twice: {ending.sentence}")
        elif ending.kind == "failure":
            self.listener.warn(f"{block}, failed and is tried once more: {ending.sentence}")
            self.waiting.appendleft(replace(block, tried_before=True))
