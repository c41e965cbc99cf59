"""Blocks: planned, run, killed at any moment and resumed to the last bit."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toy_composed
import toy_problem
from toy_blocks import Ears, assert_same, block, expected, experiment, results
from toy_problem import SMOKE, ToyRuns, ToySettings

from minilop.data.errors import DataError
from minilop.experiment.blocks import Block, divide, take_stock
from minilop.experiment.checkpoints import checkpoint_path, find_checkpoints, save_checkpoint
from minilop.experiment.results import read_result, result_path
from minilop.experiment.runner import Interrupted, RunContext, Stop, run_block, stop_on_signals
from minilop.experiment.settings import Experiment


def run(folder: Path, block: Block, ears: Ears | None = None, stop: Stop | None = None) -> None:
    ears = ears or Ears()
    run_block(block, RunContext(folder, checkpoint_seconds=0), ears.reports.append, ears.warn, stop or Stop())


def run_until_step(folder: Path, block: Block, step: int) -> None:
    """Leave a checkpoint after `step` steps, as SIGTERM would."""
    stop, reports = Stop(), []

    def report(progress: float) -> None:
        reports.append(progress)
        stop.requests = len(reports) // step

    with pytest.raises(Interrupted):
        run_block(block, RunContext(folder), report, Ears().warn, stop)


@pytest.mark.quick
def test_a_block_leaves_one_result_per_run_and_nothing_else(tmp_path: Path) -> None:
    ears = Ears()
    run(tmp_path, block(), ears)
    assert_same(results(tmp_path, block()), expected(block()))
    assert ears.reports == [step / 8 for step in range(1, 9)]
    assert sorted(tmp_path.iterdir()) == [result_path(tmp_path, experiment(), seed) for seed in (0, 1)]


@pytest.mark.quick
def test_a_result_tells_how_it_came_about(tmp_path: Path) -> None:
    run(tmp_path, block())
    found = read_result(tmp_path, experiment(), 0, Ears().warn)
    assert found is not None
    assert (found[1]["backend"], found[1]["data_source"], found[1]["block_runs"]) == ("numpy", "invented", 2)
    assert found[1]["scale"] == "smoke"
    assert 0 <= found[1]["block_seconds"] < 60


@pytest.mark.quick
@pytest.mark.parametrize("step", [1, 3, 7])
def test_an_interrupted_block_goes_on_to_the_last_bit(tmp_path: Path, step: int) -> None:
    run_until_step(tmp_path, block(), step)
    assert [partial.progress for partial in find_checkpoints(tmp_path, experiment(), "numpy", Ears().warn)] == [
        step / 8
    ]
    ears = Ears()
    run(tmp_path, block(), ears)
    assert ears.reports == [later / 8 for later in range(step + 1, 9)]
    assert_same(results(tmp_path, block()), expected(block()))


@pytest.mark.quick
def test_a_block_of_a_composed_learner_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    learner = toy_composed.LEARNERS["continual_backprop"]
    one = replace(experiment(), learner="continual_backprop", learner_settings=learner, module="toy_composed")
    composed = replace(block(), experiment=one)
    run_until_step(tmp_path, composed, 3)
    ears = Ears()
    run(tmp_path, composed, ears)
    assert ears.reports[0] == 4 / 8
    assert ears.warnings == []
    assert_same(results(tmp_path, composed), expected(block()))  # its step size is the rate of "fast"


KILLED = """
import os, signal, sys
sys.path[:0] = [sys.argv[1]]
from pathlib import Path
import toy_problem
from toy_blocks import Ears, block
from minilop.experiment.runner import Stop, RunContext, run_block

owner, name, calls = {"advance": toy_problem.ToyRuns, "fsync": os, "replace": os, "unlink": Path}[sys.argv[3]], sys.argv[3], []
original = getattr(owner, name)

def deadly(*arguments, **options):
    calls.append(name)
    if len(calls) == int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **options)

setattr(owner, name, deadly)
run_block(block(), RunContext(Path(sys.argv[2]), checkpoint_seconds=0), lambda progress: None, Ears().warn, Stop())
"""


@pytest.mark.parametrize(
    ("function", "call"),
    [
        ("advance", 1),  # before the first checkpoint
        ("advance", 5),
        ("fsync", 1),  # the first checkpoint is written and has no name yet
        ("replace", 4),  # a later checkpoint has no name yet
        ("fsync", 8),  # it has its name, and the folder is not written
        ("replace", 8),  # no result has a name yet
        ("replace", 9),  # one result is written, the other is not
        ("unlink", 1),  # all results are written, the checkpoint is still there
    ],
)
def test_a_block_killed_at_any_moment_ends_where_an_undisturbed_one_ends(
    tmp_path: Path, function: str, call: int
) -> None:
    code = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path), function, str(call)]
    assert subprocess.run(code, check=False, timeout=30, env=with_package()).returncode == -signal.SIGKILL
    ears = Ears()
    standing = take_stock(experiment(), (0, 1), tmp_path, "numpy", ears.warn)
    for remaining in divide([standing], SMOKE, 1):
        run(tmp_path, remaining, ears)
    assert_same(results(tmp_path, block()), expected(block()))
    assert ears.warnings == []
    unfinished = {path for path in tmp_path.iterdir() if path.suffix == ".tmp"}  # they are removed a day later
    assert sorted({*tmp_path.iterdir()} - unfinished) == [result_path(tmp_path, experiment(), seed) for seed in (0, 1)]


def with_package() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}


@pytest.mark.quick
def test_a_finished_run_is_never_written_again(tmp_path: Path) -> None:
    run_until_step(tmp_path, block(), 4)
    run(tmp_path, block(seeds=(0,)))
    path = result_path(tmp_path, experiment(), 0)
    before = path.stat()
    run(tmp_path, block())  # its checkpoint holds both runs
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_ino == before.st_ino
    assert_same(results(tmp_path, block()), expected(block()))


def test_a_block_that_is_done_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, block())
    monkeypatch.setattr(ToyRuns, "__init__", None)  # beginning would raise
    ears = Ears()
    run(tmp_path, block(), ears)
    assert ears.reports == []


def test_nothing_is_planned_for_what_is_done(tmp_path: Path) -> None:
    run(tmp_path, block())
    standing = take_stock(experiment(), (0, 1), tmp_path, "numpy", Ears().warn)
    assert (standing.done, standing.partial, standing.missing) == ((0, 1), (), ())
    assert divide([standing], SMOKE, 2) == []


def test_a_damaged_result_is_computed_again(tmp_path: Path) -> None:
    run(tmp_path, block())
    result_path(tmp_path, experiment(), 1).write_bytes(b"PK damaged")
    ears = Ears()
    standing = take_stock(experiment(), (0, 1), tmp_path, "numpy", ears.warn)
    assert (standing.done, standing.missing) == ((0,), (1,))
    assert len(ears.warnings) == 1
    for remaining in divide([standing], SMOKE, 1):
        run(tmp_path, remaining)
    assert_same(results(tmp_path, block()), expected(block()))


def test_a_damaged_checkpoint_is_set_aside_and_the_block_begins_anew(tmp_path: Path) -> None:
    run_until_step(tmp_path, block(), 4)
    path = checkpoint_path(tmp_path, experiment(), (0, 1), "numpy")
    path.write_bytes(path.read_bytes()[:-50])
    ears = Ears()
    run(tmp_path, block(), ears)
    assert ears.reports[0] == 1 / 8
    assert "is renamed to" in ears.warnings[0]
    assert path.with_name(path.name + ".damaged").exists()
    assert_same(results(tmp_path, block()), expected(block()))


def test_a_checkpoint_of_other_seeds_is_set_aside(tmp_path: Path) -> None:
    run_until_step(tmp_path, block((2, 3)), 4)
    checkpoint_path(tmp_path, experiment(), (2, 3), "numpy").rename(
        checkpoint_path(tmp_path, experiment(), (0, 1), "numpy")
    )
    ears = Ears()
    assert find_checkpoints(tmp_path, experiment(), "numpy", ears.warn) == []
    assert "its seeds differ from those in its name" in ears.warnings[0]


def test_a_block_does_not_go_on_with_other_seeds(tmp_path: Path) -> None:
    run_until_step(tmp_path, block((2, 3)), 4)
    checkpoint_path(tmp_path, experiment(), (2, 3), "numpy").rename(
        checkpoint_path(tmp_path, experiment(), (0, 1), "numpy")
    )
    ears = Ears()
    run(tmp_path, block(), ears)
    assert "unexpected values (seeds)" in ears.warnings[0]
    assert_same(results(tmp_path, block()), expected(block()))


def test_another_backend_begins_anew_and_leaves_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minilop.backend.use", lambda name: None)
    run_until_step(tmp_path, block(), 4)
    path = checkpoint_path(tmp_path, experiment(), (0, 1), "numpy")
    content = path.read_bytes()
    standing = take_stock(experiment(), (0, 1), tmp_path, "cupy", Ears().warn)
    assert (standing.partial, standing.missing) == ((), (0, 1))
    ears = Ears()
    run_block(block(), RunContext(tmp_path, "cupy", checkpoint_seconds=0), ears.reports.append, ears.warn, Stop())
    assert ears.reports[0] == 1 / 8
    assert ears.warnings == []
    assert path.read_bytes() == content


def test_a_checkpoint_under_the_name_of_another_backend_is_set_aside(tmp_path: Path) -> None:
    run_until_step(tmp_path, block(), 4)
    path = checkpoint_path(tmp_path, experiment(), (0, 1), "numpy")
    path.rename(checkpoint_path(tmp_path, experiment(), (0, 1), "cupy"))
    ears = Ears()
    assert find_checkpoints(tmp_path, experiment(), "cupy", ears.warn) == []
    assert "unexpected values (backend)" in ears.warnings[0]


def test_looking_changes_no_file(tmp_path: Path) -> None:
    """A damaged result, a damaged checkpoint, one of other seeds, and one whose runs are all done."""
    for seeds in (0, 1), (2, 3), (4, 5), (6, 7):
        run_until_step(tmp_path, block(seeds), 4)
    run(tmp_path, block((0,)))
    run(tmp_path, block((1,)))
    run(tmp_path, block((8,)))
    result_path(tmp_path, experiment(), 8).write_bytes(b"damaged")
    checkpoint_path(tmp_path, experiment(), (2, 3), "numpy").write_bytes(b"damaged")
    moved = checkpoint_path(tmp_path, experiment(), (4, 5), "numpy")
    moved.rename(checkpoint_path(tmp_path, experiment(), (4, 6), "numpy"))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    ears = Ears()
    standing = take_stock(experiment(), range(9), tmp_path, "numpy", ears.warn, look_only=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert (standing.done, standing.partial_seeds, standing.missing) == ((0, 1), (6, 7), (2, 3, 4, 5, 8))
    assert len(ears.warnings) == 3
    assert all("is ignored: it" in warning for warning in ears.warnings)


def test_a_state_that_does_not_fit_is_set_aside(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, experiment(), (0, 1), "numpy", {"step": np.array(4)}, 0.5, 1.0)
    ears = Ears()
    run(tmp_path, block(), ears)
    assert "does not fit" in ears.warnings[0]
    assert_same(results(tmp_path, block()), expected(block()))


def test_other_blocks_than_before_lose_no_partial_work(tmp_path: Path) -> None:
    """Interrupted as 0-1, 2-3 and 4; then planned for blocks of three: the checkpoints go on as they are."""
    for seeds, step in ((0, 1), 2), ((2, 3), 6), ((4,), 4):
        run_until_step(tmp_path, block(seeds), step)
    standing = take_stock(experiment(), tuple(range(8)), tmp_path, "numpy", Ears().warn)
    assert [partial.seeds for partial in standing.partial] == [(2, 3), (4,), (0, 1)]  # most progress first
    assert standing.missing == (5, 6, 7)
    blocks = divide([standing], replace(SMOKE, block=3), 1)
    assert sorted(planned.seeds for planned in blocks) == [(0, 1), (2, 3), (4,), (5, 6, 7)]
    for planned in blocks:
        ears = Ears()
        run(tmp_path, planned, ears)
        assert ears.reports[0] == planned.progress + 1 / 8
    everything = block(tuple(range(8)))
    assert_same(results(tmp_path, everything), expected(everything))


def test_a_checkpoint_with_a_run_that_is_not_wanted_waits(tmp_path: Path) -> None:
    run_until_step(tmp_path, block((0, 1)), 4)
    standing = take_stock(experiment(), (0,), tmp_path, "numpy", Ears().warn)
    assert (standing.partial, standing.missing) == ((), (0,))
    assert checkpoint_path(tmp_path, experiment(), (0, 1), "numpy").exists()


def test_a_checkpoint_whose_runs_are_all_done_is_removed(tmp_path: Path) -> None:
    run_until_step(tmp_path, block((0, 1)), 4)
    run(tmp_path, block((0,)))
    run(tmp_path, block((1,)))
    take_stock(experiment(), (0, 1), tmp_path, "numpy", Ears().warn)
    assert not checkpoint_path(tmp_path, experiment(), (0, 1), "numpy").exists()


def test_a_checkpoint_that_spans_shards_is_removed_with_the_last_of_its_runs(tmp_path: Path) -> None:
    """Each shard sees its own seeds only: here each ends with a block of one run."""
    run_until_step(tmp_path, block((0, 1)), 4)
    path = checkpoint_path(tmp_path, experiment(), (0, 1), "numpy")
    run(tmp_path, block((0,)))
    take_stock(experiment(), (0,), tmp_path, "numpy", Ears().warn)
    assert path.exists()
    run(tmp_path, block((1,)))
    assert not path.exists()


def test_a_checkpoint_that_spans_shards_is_removed_by_a_start_of_either(tmp_path: Path) -> None:
    run(tmp_path, block((0,)))
    run(tmp_path, block((1,)))
    state = {"step": np.array(4), "value": np.zeros(2, np.float32), "history": np.zeros((2, 8), np.float32)}
    save_checkpoint(tmp_path, experiment(), (0, 1), "numpy", state, 0.5, 1.0)
    take_stock(experiment(), (1,), tmp_path, "numpy", Ears().warn)
    assert not checkpoint_path(tmp_path, experiment(), (0, 1), "numpy").exists()


IMPOSSIBLE = {
    "negative steps": {"step": np.array(-3)},
    "a position beyond the end": {"step": np.array(9)},
    "a position that is not the progress": {"step": np.array(5)},
    "a position that is text": {"step": np.array("four")},
    "values that are text": {"value": np.array(["a", "b"])},
    "values of another type": {"value": np.zeros(2, np.float64)},
}


@pytest.mark.quick
@pytest.mark.parametrize("change", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_a_well_formed_checkpoint_with_impossible_contents_is_set_aside(
    tmp_path: Path, change: dict[str, np.ndarray]
) -> None:
    state = {"step": np.array(4), "value": np.zeros(2, np.float32), "history": np.zeros((2, 8), np.float32)}
    save_checkpoint(tmp_path, experiment(), (0, 1), "numpy", state | change, 0.5, 1.0)
    assert take_stock(experiment(), (0, 1), tmp_path, "numpy", Ears().warn, look_only=True).partial_seeds == (0, 1)
    ears = Ears()
    run(tmp_path, block(), ears)
    (sentence,) = ears.warnings
    assert sentence.endswith("and its work is repeated: it does not fit this problem.")
    assert_same(results(tmp_path, block()), expected(block()))


@pytest.mark.quick
def test_data_that_were_replaced_while_the_command_runs_give_no_result(tmp_path: Path) -> None:
    """The result would have the name, and so the fingerprint, of the former data."""
    path = tmp_path / "toy.bin"
    path.write_bytes(b"former")
    settings = ToySettings(data_file="toy.bin")
    source = toy_problem.data_source(settings, tmp_path)
    told = Experiment("toy", "fast", settings, toy_problem.LEARNERS["fast"], "toy_problem", "smoke", data_source=source)
    one = Block(told, (0, 1), 0.1)
    path.write_bytes(b"new")
    with pytest.raises(DataError, match=r"^The data have changed since the command started: they were a toy file,"):
        run_block(one, RunContext(tmp_path / "out", data_folder=tmp_path), lambda progress: None, Ears().warn, Stop())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("num_runs", "processes", "sizes"),
    [(7, 1, [3, 2, 2]), (6, 2, [3, 3]), (6, 3, [2, 2, 2]), (2, 8, [1, 1]), (30, 4, [3] * 10)],
)
def test_blocks_are_even_and_enough_for_all_processes(
    tmp_path: Path, num_runs: int, processes: int, sizes: list[int]
) -> None:
    standing = take_stock(experiment(), range(num_runs), tmp_path, "numpy", Ears().warn)
    blocks = divide([standing], replace(SMOKE, block=3, seconds=6.0), processes)
    assert [len(planned.seeds) for planned in blocks] == sizes
    assert sorted(seed for planned in blocks for seed in planned.seeds) == list(range(num_runs))
    assert sum(planned.seconds for planned in blocks) == pytest.approx(2.0 * num_runs)


def test_a_run_that_diverges_leaves_its_neighbour_alone(tmp_path: Path) -> None:
    wild = block(mischief="diverge", mischief_seed=1)
    run(tmp_path, wild)
    found = results(tmp_path, wild)
    assert np.isnan(found[1]["last"])
    assert_same({0: found[0]}, expected(block((0,))))


def test_results_without_the_runs_axis_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyRuns, "results", lambda self: {"history": self.history.T})
    with pytest.raises(ValueError, match="one entry per run"):
        run(tmp_path, block())
    assert results(tmp_path, block()) == {}


def test_a_signal_is_counted_once_even_if_it_comes_twice() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requests == 1
    assert signal.getsignal(signal.SIGTERM) == before
