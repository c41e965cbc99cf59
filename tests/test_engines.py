"""Engines: blocks side by side, and what happens when one of them goes wrong."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from toy_blocks import Ears, assert_same, block, expected, experiment, results

from minilop.experiment.checkpoints import find_checkpoints
from minilop.experiment.engines import ProcessEngine, SerialEngine, available_cores, choose_engine
from minilop.experiment.results import result_path
from minilop.experiment.runner import Interrupted, Workplace
from minilop.experiment.settings import SettingsError

ENGINES = [SerialEngine(), ProcessEngine(1), ProcessEngine(2)]
NAMES = ["serial", "process:1", "process:2"]


def workplace(folder: Path) -> Workplace:
    return Workplace(folder, checkpoint_seconds=0)


@pytest.mark.parametrize("engine", ENGINES, ids=NAMES)
def test_every_engine_gives_the_same_results(tmp_path: Path, engine: SerialEngine | ProcessEngine) -> None:
    blocks, ears = [block((0, 1)), block((2,)), block((0,), "slow")], Ears()
    engine.run(blocks, workplace(tmp_path), ears)
    assert {done.key for done in ears.done} == {one.key for one in blocks}
    assert (ears.failures, ears.warnings) == ([], [])
    assert ears.reports.count(1.0) == 3
    for one in blocks:
        assert_same(results(tmp_path, one), expected(one))


@pytest.mark.parametrize("engine", ENGINES[:2], ids=NAMES[:2])
def test_one_process_keeps_the_order_of_the_blocks(tmp_path: Path, engine: SerialEngine | ProcessEngine) -> None:
    blocks, ears = [block((seed,)) for seed in (3, 1, 2)], Ears()
    engine.run(blocks, workplace(tmp_path), ears)
    assert [done.seeds for done in ears.done] == [(3,), (1,), (2,)]


def test_a_killed_process_is_tried_once_more_from_its_checkpoint(tmp_path: Path) -> None:
    settings = {"mischief": "kill", "mischief_step": 5, "marker": str(tmp_path / "marker")}
    blocks, ears = [block((0, 1), **settings), block((2, 3), **settings)], Ears()
    ProcessEngine(2).run(blocks, workplace(tmp_path), ears)
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
    engine.run(blocks, workplace(tmp_path), ears)
    assert {done.seeds for done in ears.done} == {(1,), (2,)}
    assert [(failed.seeds, len(ears.warnings)) for failed, _ in ears.failures] == [((0,), 1)]
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
    engine.run(blocks, workplace(tmp_path), ears)
    assert ears.failures == [(blocks[0], sentence)]
    assert ears.warnings == []
    assert [done.seeds for done in ears.done] == [(1,)]


def test_a_worker_that_alone_is_asked_to_stop_is_tried_once_more_from_its_checkpoint(tmp_path: Path) -> None:
    stopped, ears = block((0, 1), mischief="stop"), Ears()
    ProcessEngine(1).run([stopped, block((2, 3))], Workplace(tmp_path), ears)
    assert {done.seeds for done in ears.done} == {(0, 1), (2, 3)}
    assert ears.failures == []
    assert len(ears.warnings) == 1
    assert "tried once more: its process was asked to stop, and the command was not." in ears.warnings[0]
    assert len(ears.reports) == 2 * 8  # no step was done twice
    assert_same(results(tmp_path, stopped), expected(stopped))


@pytest.mark.quick
def test_a_result_that_cannot_be_read_is_a_mistake_to_mend(tmp_path: Path) -> None:
    path = result_path(tmp_path, experiment(), 0)
    path.mkdir()
    ears = Ears()
    SerialEngine().run([block((0,))], workplace(tmp_path), ears)
    sentence = f"toy: {path} cannot be read (Is a directory); move it away or make it readable."
    assert [failure for _, failure in ears.failures] == [sentence]
    assert ears.warnings == []


def test_a_warning_of_a_worker_reaches_the_user(tmp_path: Path) -> None:
    stopped = [block((0,), mischief="raise", mischief_step=4)]
    ProcessEngine(1).run(stopped, workplace(tmp_path), Ears())
    (checkpoint,) = tmp_path.glob("*.checkpoint.npz")
    checkpoint.write_bytes(b"damaged")
    ears = Ears()
    ProcessEngine(1).run(stopped, workplace(tmp_path), ears)
    assert any("set aside" in warning for warning in ears.warnings)


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
        engine.run(blocks, Workplace(tmp_path), Impatient())
    assert signal.getsignal(number) == before  # a command in the background is started with Ctrl-C ignored
    partial = find_checkpoints(tmp_path, blocks[0].experiment, "numpy", Ears().warn)
    assert partial
    assert all(0 < one.progress < 1 for one in partial)
    ears = Ears()
    engine.run(blocks, Workplace(tmp_path), ears)
    assert len(ears.reports) <= 3 * 20 - 8
    for one in blocks:
        assert_same(results(tmp_path, one), expected(one))


def test_a_second_request_does_not_wait_for_a_long_step(tmp_path: Path) -> None:
    def ask_twice() -> None:
        for seconds in (0.5, 1.1):
            time.sleep(seconds)
            os.kill(os.getpid(), signal.SIGTERM)

    began = time.monotonic()
    threading.Thread(target=ask_twice, daemon=True).start()
    ears = Ears()
    with pytest.raises(Interrupted):
        ProcessEngine(1).run([block(pause=30.0)], workplace(tmp_path), ears)
    assert [warning.split(" ")[0] for warning in ears.warnings] == ["stopping"]  # no word of a failure
    assert 1.5 < time.monotonic() - began < 10.0


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
