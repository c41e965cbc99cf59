"""Worker processes, which run blocks and report their progress to the main process."""

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
from minilop.experiment.runner import Interrupted, RunContext, Stop, run_block, start_runs, stop_on_signals
from minilop.experiment.settings import SettingsError, sentence

UNGUARDED = 96  # exit code of a worker whose script starts workers when it is imported


class Listener(Protocol):
    """Receives reports on blocks in the main process."""

    def progressed(self, block: Block, progress: float) -> None: ...

    def finished(self, block: Block, remark: str) -> None: ...

    def failed(self, block: Block, sentence: str) -> None: ...

    def warn(self, sentence: str) -> None: ...


@dataclass(frozen=True)
class Ending:
    """How an attempt at a block ended."""

    kind: Literal["done", "interrupted", "mistake", "failure"]
    sentence: str = ""  # what failed; for "done", what diverged


def attempt(block: Block, context: RunContext, report: Callable[[float], None], warn: Warn, stop: Stop) -> Ending:
    """Run a block. Every error becomes an `Ending`, since the other blocks continue."""
    try:
        return Ending("done", run_block(block, context, report, warn, stop))
    except Interrupted:
        return Ending("interrupted")
    except (SettingsError, DataError, BackendError, FileError) as mistake:
        return Ending("mistake", sentence(mistake))
    except Exception as problem:  # noqa: BLE001 - the other blocks continue after any error
        frames = traceback.extract_tb(problem.__traceback__)
        # If the runs did not even start, the checkpoint cannot be the cause.
        has_started = all(frame.name != start_runs.__name__ for frame in frames)
        if block.tried_before and has_started and not isinstance(problem, MemoryError):
            _suspect_checkpoint(block, context, warn)
        where = f"{os.path.basename(frames[-1].filename)}, line {frames[-1].lineno}"
        return Ending("failure", sentence(f"{type(problem).__name__} in {where}: {problem}"))


def _suspect_checkpoint(block: Block, context: RunContext, warn: Warn) -> None:
    path = checkpoint_path(context.folder, block.experiment, block.seeds, context.backend)
    with contextlib.suppress(FileError):
        if path.exists():
            set_aside(path, "the block failed twice after loading it", warn)


def start_worker(context: RunContext) -> tuple[Connection, BaseProcess]:
    """Start a process that runs blocks. Returns the connection for `hand_over` and `receive`, and the process.

    Raises SettingsError if the main script is not a file, since worker processes import it, and OSError if the system
    starts no more processes.
    """
    script = sys.modules["__main__"]
    path = getattr(script, "__file__", None)
    if path is not None and script.__spec__ is None and not os.path.exists(path):
        raise SettingsError(
            f"Worker processes import the main script, but {path} is not a file; save the script, or use the serial "
            "engine."
        )
    spawning = multiprocessing.get_context("spawn")  # a fresh interpreter; forking a process with threads can hang
    ours, theirs = spawning.Pipe()
    process = spawning.Process(target=_work, args=(theirs, context), daemon=True)
    # Ctrl-C reaches all processes of the terminal. A worker ignores it until its own handlers are set, so that it does
    # not print a traceback while it starts; the engine passes each request on.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    except OSError:
        ours.close()
        theirs.close()
        raise
    except RuntimeError:
        if getattr(multiprocessing.current_process(), "_inheriting", False):  # a worker that still reads the script
            sys.exit(UNGUARDED)
        raise
    finally:
        signal.signal(signal.SIGINT, handler)
    theirs.close()  # so that the stream ends when the worker dies
    return ours, process


def hand_over(connection: Connection, block: Block) -> None:
    """Send a worker its next block. If the worker has just died, `receive` reports it."""
    with contextlib.suppress(OSError):
        connection.send(block)


def _work(connection: Connection, context: RunContext) -> None:
    """The main function of a worker: run blocks until there are no more or a request to stop arrives.

    Sends floats (progress), strings (warnings) and one `Ending` per block.
    """
    with stop_on_signals() as stop:

        def send(message: float | str | Ending) -> None:
            try:
                connection.send(message)
            except OSError:  # the main process has died: save and exit, as after a request to stop
                stop.requests += 1

        while not stop.requests:
            try:
                block = connection.recv()
            except (EOFError, OSError):
                break
            send(attempt(block, context, send, send, stop))


def receive(
    connection: Connection, process: BaseProcess, block: Block, listener: Listener, stop: Stop
) -> Ending | None:
    """Pass one message of a worker to the listener. Returns the ending of the block if this was the last message."""
    try:
        message: float | str | Ending = connection.recv()
    except (EOFError, OSError):
        process.join()
        message = Ending("interrupted") if stop.requests else _cause_of_death(process.exitcode)
    if isinstance(message, Ending):
        if message.kind == "interrupted" and not stop.requests:
            return Ending("failure", "its process was asked to stop, but the command was not.")
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
            "Worker processes import the main script; put its commands below "
            '`if __name__ == "__main__":`, or use the serial engine.',
        )
    if exit_code == -getattr(signal, "SIGKILL", 9):
        return Ending(
            "failure", "its process was killed, perhaps because memory ran out; use fewer processes to save memory."
        )
    return Ending("failure", f"its process ended with exit code {exit_code}.")
