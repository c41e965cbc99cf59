"""A worker: a process of its own that runs blocks and tells the process that gave the command how it gets on."""

import contextlib
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Literal, Protocol

from minilop.backend import BackendError
from minilop.data.errors import DataError
from minilop.experiment.archive import FileError, Warn, set_aside
from minilop.experiment.blocks import Block
from minilop.experiment.checkpoints import checkpoint_path
from minilop.experiment.runner import Interrupted, Stop, Workplace, run_block, start_runs, stop_on_signals
from minilop.experiment.settings import SettingsError, sentence

UNGUARDED = 96  # exit code of a worker that is asked to start workers while it starts


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
        frames = traceback.extract_tb(problem.__traceback__)
        began = all(frame.name != start_runs.__name__ for frame in frames)  # a checkpoint may be the cause only then
        if block.tried_before and began and not isinstance(problem, MemoryError):
            _suspect_checkpoint(block, workplace, warn)
        where = f"{os.path.basename(frames[-1].filename)}, line {frames[-1].lineno}"
        return Ending("failure", sentence(f"{type(problem).__name__} in {where}: {problem}"))


def _suspect_checkpoint(block: Block, workplace: Workplace, warn: Warn) -> None:
    path = checkpoint_path(workplace.folder, block.experiment, block.seeds, workplace.backend)
    with contextlib.suppress(FileError):
        if path.exists():
            set_aside(path, "the block failed twice from there", warn)


def start_worker(workplace: Workplace) -> tuple[Connection, BaseProcess]:
    """A process that runs the blocks that `hand_over` sends, and the end of a pipe that `receive` reads.

    Raises SettingsError where the script that started this process is no file that the other could read.
    """
    script = sys.modules["__main__"]
    path = getattr(script, "__file__", None)
    if path is not None and script.__spec__ is None and not os.path.exists(path):
        raise SettingsError(
            f"Processes read the script that starts them, and {path} is no file; "
            "save the script, or use the serial engine."
        )
    context = multiprocessing.get_context("spawn")  # a fresh interpreter: forking a process with threads can hang
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, workplace), daemon=True)
    # Ctrl-C reaches every process of the terminal. A worker ignores it until it has its own handlers, and we pass
    # each request on, so a worker that is only starting prints no traceback.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    except RuntimeError:
        if getattr(
            multiprocessing.current_process(), "_inheriting", False
        ):  # a worker that is still reading the script
            sys.exit(UNGUARDED)
        raise
    finally:
        signal.signal(signal.SIGINT, handler)
    theirs.close()  # now the worker holds the only other end, so its death is the end of the stream
    return ours, process


def hand_over(connection: Connection, block: Block) -> None:
    """Give a worker its next block. If it has just died, `receive` tells so."""
    with contextlib.suppress(OSError):
        connection.send(block)


def _work(connection: Connection, workplace: Workplace) -> None:
    """What a worker process does: blocks, until there are no more or it is asked to stop.

    Of each it sends numbers (progress), sentences (warnings) and its ending.
    """
    with stop_on_signals() as stop:

        def send(message: float | str | Ending) -> None:
            try:
                connection.send(message)
            except OSError:  # nobody listens any more: save and leave, as if asked to
                stop.requests += 1

        while not stop.requests:
            try:
                block = connection.recv()
            except (EOFError, OSError):
                break
            send(attempt(block, workplace, send, send, stop))


def receive(
    connection: Connection, process: BaseProcess, block: Block, listener: Listener, stop: Stop
) -> Ending | None:
    """Pass on one message of a worker; its ending, if this was the last."""
    try:
        message: float | str | Ending = connection.recv()
    except (EOFError, OSError):
        process.join()
        message = Ending("interrupted") if stop.requests else _cause_of_death(process.exitcode)
    if isinstance(message, Ending):
        if message.kind == "interrupted" and not stop.requests:
            return Ending("failure", "its process was asked to stop, and the command was not.")
        return message
    if isinstance(message, str):
        listener.warn(message)
    else:
        listener.progressed(block, message)
    return None


def _cause_of_death(exit_code: int | None) -> Ending:
    if exit_code == UNGUARDED:
        return Ending(
            "mistake",
            "A script that starts processes is read by each of them; "
            'put what it does below `if __name__ == "__main__":`, or use the serial engine.',
        )
    if exit_code == -getattr(signal, "SIGKILL", 9):
        return Ending(
            "failure", "its process was killed, as the system does when memory runs out (fewer processes need less)."
        )
    return Ending("failure", f"its process ended with exit code {exit_code}.")
