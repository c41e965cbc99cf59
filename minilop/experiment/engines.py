"""Engines run blocks, one after another in the main process or in parallel in worker processes.

A block that fails is tried again once, from its last checkpoint. Failures include a killed process, for example when
memory runs out. If the second attempt fails too, the checkpoint is set aside, so that it does not make later commands
fail. An error of the user is not tried again. In all cases the other blocks continue.
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
from minilop.experiment.runner import Interrupted, RunContext, stop_on_signals
from minilop.experiment.settings import SettingsError, shorten, unknown
from minilop.experiment.workers import Ending, Listener, attempt, hand_over, receive, start_worker


class Engine(Protocol):
    """Runs blocks."""

    processes: int

    def run(self, blocks: Sequence[Block], context: RunContext, listener: Listener) -> None:
        """Run all blocks, starting them in order. Raises Interrupted after SIGINT or SIGTERM."""


def choose_engine(text: str | None, backend: str) -> Engine:
    """The engine for the text `serial`, `process` or `process:n`. Raises SettingsError for any other text.

    The default is one process per available core, or one process for a GPU, which the processes would share.
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
            f"The engine {shorten(text or '')!r} is invalid; choose serial, process or process:N, such as process:2."
        )
    raise unknown("engine", name, ("serial", "process"))


class SerialEngine:
    """Runs one block after another in the main process."""

    processes = 1

    def run(self, blocks: Sequence[Block], context: RunContext, listener: Listener) -> None:
        queue = _Queue(blocks, listener)
        with stop_on_signals() as stop:
            while queue.waiting and not stop.requests:
                block = queue.waiting.popleft()

                def report(progress: float, block: Block = block) -> None:
                    listener.progressed(block, progress)

                queue.ended(block, attempt(block, context, report, listener.warn, stop))
            if stop.requests:
                raise Interrupted


class ProcessEngine:
    """Runs up to `processes` blocks in parallel. A worker runs one block after another until one fails."""

    def __init__(self, processes: int) -> None:
        self.processes = processes

    def run(self, blocks: Sequence[Block], context: RunContext, listener: Listener) -> None:
        queue = _Queue(blocks, listener)
        workers: dict[Connection, tuple[BaseProcess, Block]] = {}
        requests = 0  # to stop, passed on to the workers
        with stop_on_signals() as stop:
            try:
                while workers or (queue.waiting and not stop.requests):
                    while queue.waiting and len(workers) < self.processes and not stop.requests:
                        block = queue.waiting.popleft()
                        try:
                            connection, process = start_worker(context)
                        except SettingsError as mistake:
                            queue.ended(block, Ending("mistake", str(mistake)))
                            continue
                        except OSError as problem:  # too many processes, or too little memory
                            if workers:  # continue with those that there are
                                queue.waiting.appendleft(block)
                                break
                            reason = f"no process can be started ({problem.strerror}); end other programs."
                            queue.ended(block, Ending("mistake", reason))
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
                                connection.close()  # ends the worker
                                process.join()
                                del workers[connection]
                                continue
                            workers[connection] = (process, queue.waiting.popleft())
                            hand_over(connection, workers[connection][1])
            finally:
                for process, _ in workers.values():  # some remain only after an unexpected error
                    process.terminate()
            if stop.requests:
                raise Interrupted

    def _pass_on(self, requests: int, processes: Sequence[BaseProcess], listener: Listener) -> None:
        """Ask the workers to save and exit; after a second request kill them."""
        if requests == 1:
            listener.warn("stopping after the current steps, to save checkpoints; interrupt again to stop immediately.")
        for process in processes:
            if requests == 1:
                process.terminate()
            else:
                process.kill()


class _Queue:
    """The waiting blocks; a failed block returns once."""

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
            self.listener.warn(f"{block}, failed and is tried again: {ending.sentence}")
            self.waiting.appendleft(replace(block, tried_before=True))
