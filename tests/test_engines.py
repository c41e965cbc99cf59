"""Engines: blocks side by side, and what happens when one of them goes wrong."""

import contextlib
import errno
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import toy_problem
from test_runner import with_package
from toy_blocks import Ears, assert_same, block, expected, experiment, results

from minilop.experiment import engines, workers
from minilop.experiment.checkpoints import find_checkpoints
from minilop.experiment.engines import ProcessEngine, SerialEngine, available_cores, choose_engine
from minilop.experiment.results import result_path
from minilop.experiment.runner import Interrupted, RunContext, Stop, run_block
from minilop.experiment.settings import SettingsError

ENGINES = [SerialEngine(), ProcessEngine(1), ProcessEngine(2)]
NAMES = ["serial", "process:1", "process:2"]


def context(folder: Path) -> RunContext:
    return RunContext(folder, checkpoint_seconds=0)


@pytest.mark.parametrize("engine", ENGINES, ids=NAMES)
def test_every_engine_gives_the_same_results(tmp_path: Path, engine: SerialEngine | ProcessEngine) -> None:
    blocks, ears = [block((0, 1)), block((2,)), block((0,), "slow")], Ears()
    engine.run(blocks, context(tmp_path), ears)
    assert {done.key for done in ears.done} == {one.key for one in blocks}
    assert (ears.failures, ears.warnings) == ([], [])
    assert ears.reports.count(1.0) == 3
    for one in blocks:
        assert_same(results(tmp_path, one), expected(one))


@pytest.mark.parametrize("engine", ENGINES[:2], ids=NAMES[:2])
def test_one_process_keeps_the_order_of_the_blocks(tmp_path: Path, engine: SerialEngine | ProcessEngine) -> None:
    blocks, ears = [block((seed,)) for seed in (3, 1, 2)], Ears()
    engine.run(blocks, context(tmp_path), ears)
    assert [done.seeds for done in ears.done] == [(3,), (1,), (2,)]


@pytest.mark.parametrize("number", [1, 2])
def test_a_process_that_cannot_be_started_ends_no_other_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """If the first one starts, it runs all blocks. If none does, every block fails with the remedy."""
    started: list[object] = []

    def start(context: RunContext) -> object:
        if len(started) + 1 >= number:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        started.append(context)
        return workers.start_worker(context)

    monkeypatch.setattr(engines, "start_worker", start)
    blocks, ears = [block((0,)), block((1,)), block((2,))], Ears()
    ProcessEngine(2).run(blocks, context(tmp_path), ears)
    if number == 1:
        reason = "toy: no process can be started (Resource temporarily unavailable); end other programs."
        assert (ears.done, [sentence for _, sentence in ears.failures]) == ([], [reason] * 3)
    else:
        assert (len(ears.done), ears.failures, ears.warnings) == (3, [], [])


def test_a_killed_process_is_tried_once_more_from_its_checkpoint(tmp_path: Path) -> None:
    settings = {"mischief": "kill", "mischief_step": 5, "marker": str(tmp_path / "marker")}
    blocks, ears = [block((0, 1), **settings), block((2, 3), **settings)], Ears()
    ProcessEngine(2).run(blocks, context(tmp_path), ears)
    assert len(ears.done) == 2
    assert ears.failures == []
    assert len(ears.warnings) == 1
    assert "killed" in ears.warnings[0]
    assert len(ears.reports) == 2 * 8  # the five steps before the kill were not done again
    for one in blocks:
        assert_same(results(tmp_path, one), expected(one))


@pytest.mark.parametrize("engine", [ENGINES[0], ENGINES[2]], ids=[NAMES[0], NAMES[2]])
@pytest.mark.parametrize("mischief", ["raise", "kill"])
def test_a_second_failure_is_told_and_the_others_go_on(
    tmp_path: Path, engine: SerialEngine | ProcessEngine, mischief: str
) -> None:
    if mischief == "kill" and isinstance(engine, SerialEngine):
        engine = ProcessEngine(1)  # the serial engine is the process that would be killed
    blocks, ears = [block((seed,), mischief=mischief) for seed in (0, 1, 2)], Ears()
    engine.run(blocks, context(tmp_path), ears)
    assert {done.seeds for done in ears.done} == {(1,), (2,)}
    assert [failed.seeds for failed, _ in ears.failures] == [(0,)]
    asides = [warning for warning in ears.warnings if "is renamed to" in warning]
    assert (len(asides), len(ears.warnings)) == ((0, 1) if mischief == "kill" else (1, 2))
    sentence = ears.failures[0][1]
    words = {"raise": "ZeroDivisionError in toy_problem.py, line", "kill": "its process was killed"}
    assert sentence.startswith(f"toy fast, seed 0, failed twice: {words[mischief]}")
    assert sentence.endswith(".") and not sentence.endswith("..")
    assert ears.warnings[0].endswith(".") and not ears.warnings[0].endswith("..")
    assert "\n" not in sentence
    for one in blocks[1:]:
        assert_same(results(tmp_path, one), expected(one))


@pytest.mark.parametrize("engine", [ENGINES[0], ENGINES[2]], ids=[NAMES[0], NAMES[2]])
@pytest.mark.parametrize(
    ("mischief", "sentence"),
    [
        ("no_data", "toy: The file toy.bin is missing; put it into the data folder."),
        ("contradict", "toy: the settings contradict each other."),
    ],
)
def test_a_users_mistake_is_not_tried_again(
    tmp_path: Path, engine: SerialEngine | ProcessEngine, mischief: str, sentence: str
) -> None:
    blocks, ears = [block((seed,), mischief=mischief) for seed in (0, 1)], Ears()
    engine.run(blocks, context(tmp_path), ears)
    assert ears.failures == [(blocks[0], sentence)]
    assert ears.warnings == []
    assert [done.seeds for done in ears.done] == [(1,)]


def test_a_worker_that_alone_is_asked_to_stop_is_tried_once_more_from_its_checkpoint(tmp_path: Path) -> None:
    stopped, ears = block((0, 1), mischief="stop"), Ears()
    ProcessEngine(1).run([stopped, block((2, 3))], RunContext(tmp_path), ears)
    assert {done.seeds for done in ears.done} == {(0, 1), (2, 3)}
    assert ears.failures == []
    assert len(ears.warnings) == 1
    assert "tried again: its process was asked to stop, but the command was not." in ears.warnings[0]
    assert len(ears.reports) == 2 * 8  # no step was done twice
    assert_same(results(tmp_path, stopped), expected(stopped))


@pytest.mark.quick
def test_a_result_that_cannot_be_read_is_a_mistake_to_mend(tmp_path: Path) -> None:
    path = result_path(tmp_path, experiment(), 0)
    path.mkdir()
    ears = Ears()
    SerialEngine().run([block((0,))], context(tmp_path), ears)
    sentence = f"toy: {path} cannot be read (Is a directory); make it readable or move it away."
    assert [failure for _, failure in ears.failures] == [sentence]
    assert ears.warnings == []


def test_a_warning_of_a_worker_reaches_the_user(tmp_path: Path) -> None:
    stopped = [block((0,), mischief="kill", mischief_step=4)]
    ProcessEngine(1).run(stopped, context(tmp_path), Ears())
    (checkpoint,) = tmp_path.glob("*.checkpoint.npz")
    checkpoint.write_bytes(b"damaged")
    ears = Ears()
    ProcessEngine(1).run(stopped, context(tmp_path), ears)
    assert any("is renamed to" in warning for warning in ears.warnings)


@pytest.mark.parametrize("engine", [ENGINES[0], ENGINES[2]], ids=[NAMES[0], NAMES[2]])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_to_stop_saves_what_was_reached(
    tmp_path: Path, engine: SerialEngine | ProcessEngine, number: signal.Signals
) -> None:
    blocks = [block((seed,), num_steps=20, pause=0.02) for seed in (0, 1, 2)]

    class Impatient(Ears):
        def progressed(self, block: object, progress: float) -> None:
            self.reports.append(progress)
            if len(self.reports) == 8:
                os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(Interrupted):
        engine.run(blocks, RunContext(tmp_path), Impatient())
    assert signal.getsignal(number) == before  # a command in the background is started with Ctrl-C ignored
    partial = find_checkpoints(tmp_path, blocks[0].experiment, "numpy", Ears().warn)
    assert partial
    assert all(0 < one.progress < 1 for one in partial)
    ears = Ears()
    engine.run(blocks, RunContext(tmp_path), ears)
    assert len(ears.reports) <= 3 * 20 - 8
    for one in blocks:
        assert_same(results(tmp_path, one), expected(one))


def test_a_second_request_does_not_wait_for_a_long_step(tmp_path: Path) -> None:
    """A step takes three seconds, and the requests come when the second begins and 1.1 seconds later."""
    asked = []

    def ask_twice() -> None:
        for _ in range(2):
            asked.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1.1)

    class Impatient(Ears):
        def progressed(self, block: object, progress: float) -> None:
            if not asked:
                threading.Thread(target=ask_twice, daemon=True).start()

    ears = Impatient()
    with pytest.raises(Interrupted):
        ProcessEngine(1).run([block(pause=3.0)], context(tmp_path), ears)
    assert [warning.split(" ")[0] for warning in ears.warnings] == ["stopping"]  # no word of a failure
    assert len(asked) == 2
    assert time.monotonic() - asked[0] < 2.9


@pytest.mark.quick
def test_an_engine_is_chosen_by_its_name() -> None:
    assert isinstance(choose_engine("serial", "numpy"), SerialEngine)
    assert choose_engine("process:3", "numpy").processes == 3
    assert choose_engine("process", "numpy").processes == available_cores() >= 1
    assert choose_engine(None, "numpy").processes == available_cores()
    assert choose_engine(None, "cupy").processes == 1  # they would share one GPU


@pytest.mark.quick
@pytest.mark.parametrize("text", ["procces", "process:", "process:0", "process:two", "process:-1", "serial:2", "dask"])
def test_an_unknown_engine_is_told_in_one_sentence(text: str) -> None:
    with pytest.raises(SettingsError, match="serial|process") as error:
        choose_engine(text, "numpy")
    assert "\n" not in str(error.value)


@pytest.mark.quick
def test_the_settings_of_a_block_do_not_depend_on_the_engine() -> None:
    assert block((0,)).experiment.fingerprint == experiment().fingerprint


def test_a_process_does_one_block_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting one takes seconds, since it imports all problems; four small blocks take two starts."""
    started = []

    def start(context: RunContext) -> object:
        started.append(workers.start_worker(context))
        return started[-1]

    monkeypatch.setattr("minilop.experiment.engines.start_worker", start)
    ears = Ears()
    ProcessEngine(2).run([block((seed,)) for seed in range(4)], context(tmp_path), ears)
    assert len(ears.done) == 4
    assert len(started) == 2
    assert not any(process.is_alive() for _, process in started)


@pytest.mark.parametrize("mischief", ["raise", "kill"])
def test_a_checkpoint_from_which_a_block_failed_twice_is_set_aside(tmp_path: Path, mischief: str) -> None:
    """So a later command begins anew. A killed process may have lacked memory, so its checkpoint stays."""
    bad = block((0,), mischief=mischief)
    ears = Ears()
    ProcessEngine(1).run([bad], context(tmp_path), ears)
    (path,) = tmp_path.glob("*.checkpoint.npz*")
    assert path.name.endswith(".npz" if mischief == "kill" else ".npz.set-aside")
    told = [warning for warning in ears.warnings if "is renamed to" in warning]
    if mischief == "raise":
        (sentence,) = told
        assert sentence.endswith("and its work is repeated: the block failed twice after loading it.")
    else:
        assert told == []


@pytest.mark.quick
def test_a_checkpoint_is_not_suspected_where_the_block_did_not_even_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some library is missing, say: what the checkpoint holds is of use when it is there again."""
    with pytest.raises(Interrupted):
        run_block(block(), RunContext(tmp_path), lambda progress: None, Ears().warn, Stop(requests=1))
    (path,) = tmp_path.iterdir()
    monkeypatch.setattr(toy_problem, "start", None)
    ears = Ears()
    SerialEngine().run([block()], context(tmp_path), ears)
    assert "failed twice: TypeError" in ears.failures[0][1]
    assert list(tmp_path.iterdir()) == [path]


SCRIPT = """
import sys
sys.path[:0] = [sys.argv[1]]
from pathlib import Path
from toy_blocks import Ears, block
from minilop.experiment.engines import ProcessEngine
from minilop.experiment.runner import RunContext
ears = Ears()
ProcessEngine(2).run([block((0,)), block((1,)), block((2,))], RunContext(Path(sys.argv[2])), ears)
print(*sorted({sentence for _, sentence in ears.failures} | set(ears.warnings)), sep="|")
"""


@pytest.mark.parametrize("kind", ["file", "standard input"])
def test_a_script_that_processes_cannot_read_is_told_in_one_sentence(tmp_path: Path, kind: str) -> None:
    """It has no `if __name__ == "__main__":`, or is no file."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script) if kind == "file" else "-", str(Path(__file__).parent), str(tmp_path)]
    with script.open() as text:
        done = subprocess.run(
            command, stdin=text, capture_output=True, text=True, check=False, timeout=60, env=with_package()
        )
    assert done.stderr == ""
    assert (
        done.stdout
        == {
            "file": "toy: Worker processes import the main script; put its commands below "
            '`if __name__ == "__main__":`, or use the serial engine.\n',
            "standard input": "toy: Worker processes import the main script, but <stdin> is not a file; "
            "save the script, or use the serial engine.\n",
        }[kind]
    )


KILLED_AT_ANY_TIME = """
import sys
sys.path[:0] = [sys.argv[1]]
from pathlib import Path
from toy_blocks import Ears, experiment
from toy_problem import SMOKE
from minilop.experiment.blocks import divide, take_stock
from minilop.experiment.engines import ProcessEngine
from minilop.experiment.runner import RunContext

if __name__ == "__main__":
    folder, ears = Path(sys.argv[2]), Ears()
    standing = take_stock(experiment(num_steps=60, pause=0.005), range(4), folder, "numpy", ears.warn)
    ProcessEngine(2).run(divide([standing], SMOKE, 2), RunContext(folder, checkpoint_seconds=0), ears)
    print(*ears.warnings, *ears.failures, end="")
"""


def kill_and_finish(folder: Path, num_kills: int, seed: int) -> None:
    """Kill a command with its processes at random times, while it writes checkpoints all the time, and let it end."""
    generator = random.Random(seed)
    script = folder / "script.py"
    script.write_text(KILLED_AT_ANY_TIME)
    arguments = [sys.executable, str(script), str(Path(__file__).parent), str(folder / "out")]
    (folder / "out").mkdir()
    for _ in range(num_kills):
        process = subprocess.Popen(arguments, env=with_package(), start_new_session=True)
        time.sleep(generator.uniform(0.0, 0.6))
        deadline = time.monotonic() + 20
        while not list((folder / "out").iterdir()) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(generator.uniform(0.0, 0.6))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = subprocess.run(arguments, env=with_package(), capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("", "")
    one = block((0, 1, 2, 3), num_steps=60, pause=0.005)
    assert_same(results(folder / "out", one), expected(one))
    assert len([path for path in (folder / "out").iterdir() if path.suffix == ".npz"]) == 4


@pytest.mark.campaign
def test_a_command_killed_at_random_times_ends_where_an_undisturbed_one_ends(tmp_path: Path) -> None:
    kill_and_finish(tmp_path, num_kills=5, seed=0)
