"""A worker: a process of its own that runs one block and tells the process that gave the command how it gets on."""

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Literal, Protocol

from minilop.backend import BackendError
from minilop.data.errors import DataError
from minilop.experiment.archive import FileError, Warn
from minilop.experiment.blocks import Block
from minilop.experiment.runner import Interrupted, Stop, Workplace, run_block, stop_on_signals
from minilop.experiment.settings import SettingsError, sentence


class Listener(Protocol):
    """Is told, in the process that gave the command, how the blocks get on."""

    def progressed(self, block: Block, progress: float) -> None: ...

    def finished(self, block: Block, remark: str) -> None: ...

    def failed(self, block: Block, sentence: str) -> None: ...

    def warn(self, sentence: str) -> None: ...


@dataclass(frozen=True)
class Ending:
    """How an attempt at a block ended."""

    kind: Literal["done", "interrupted", "mistake", "failure"]
    sentence: str = ""  # what went wrong; of "done" what diverged, if anything


def attempt(block: Block, workplace: Workplace, report: Callable[[float], None], warn: Warn, stop: Stop) -> Ending:
    """Run a block; every error becomes an ending, since the other blocks go on."""
    try:
        return Ending("done", run_block(block, workplace, report, warn, stop))
    except Interrupted:
        return Ending("interrupted")
    except (SettingsError, DataError, BackendError, FileError) as mistake:
        return Ending("mistake", sentence(mistake))
    except Exception as problem:  # noqa: BLE001 - whatever it is, the other blocks go on
        place = traceback.extract_tb(problem.__traceback__)[-1]
        where = f"{os.path.basename(place.filename)}, line {place.lineno}"
        return Ending("failure", sentence(f"{type(problem).__name__} in {where}: {problem}"))


def start_worker(block: Block, workplace: Workplace) -> tuple[Connection, BaseProcess]:
    """A process that runs `block`, and the end of a pipe that `receive` reads."""
    context = multiprocessing.get_context("spawn")  # a fresh interpreter: forking a process with threads can hang
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, block, workplace), daemon=True)
    # Ctrl-C reaches every process of the terminal. A worker ignores it until it has its own handlers, and we pass
    # each request on, so a worker that is only starting prints no traceback.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, handler)
    theirs.close()  # now the worker holds the only other end, so its death is the end of the stream
    return ours, process


def _work(connection: Connection, block: Block, workplace: Workplace) -> None:
    """What a worker process does: one block. It sends numbers (progress), sentences (warnings) and its ending."""
    with stop_on_signals() as stop:

        def send(message: float | str | Ending) -> None:
            try:
                connection.send(message)
            except OSError:  # nobody listens any more: save and leave, as if asked to
                stop.requests += 1

        send(attempt(block, workplace, send, send, stop))


def receive(
    connection: Connection, process: BaseProcess, block: Block, listener: Listener, stop: Stop
) -> Ending | None:
    """Pass on one message of a worker; its ending, if this was the last."""
    try:
        message: float | str | Ending = connection.recv()
    except (EOFError, OSError):
        process.join()
        message = Ending("interrupted") if stop.requests else Ending("failure", _cause_of_death(process.exitcode))
    if isinstance(message, Ending):
        connection.close()
        process.join()
        if message.kind == "interrupted" and not stop.requests:
            return Ending("failure", "its process was asked to stop, and the command was not.")
        return message
    if isinstance(message, str):
        listener.warn(message)
    else:
        listener.progressed(block, message)
    return None


def _cause_of_death(exit_code: int | None) -> str:
    if exit_code == -getattr(signal, "SIGKILL", 9):
        return "its process was killed, as the system does when memory runs out (fewer processes need less)."
    return f"its process ended with exit code {exit_code}."
