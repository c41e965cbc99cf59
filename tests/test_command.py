"""The command as a user meets it: `run_all.py` in a process of its own, with toy problems."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import toy_composed
import toy_problem
from click.testing import CliRunner
from PIL import Image
from toy_blocks import assert_same, block, expected, results

import run_all
from minilop import backend
from minilop.backend import BackendError
from minilop.data.printing import duration
from minilop.experiment import progress
from minilop.experiment.problem import Problem
from minilop.experiment.results import result_path, write_result
from minilop.experiment.selection import choose
from minilop.experiment.settings import scale_label

COMMAND = [sys.executable, str(Path(__file__).with_name("toy_command.py"))]
QUICK = ["--scale", "smoke", "--problem", "toy", "--engine", "serial"]


def command(folder: Path, *arguments: str, status: int = 0) -> str:
    """What the command prints, on both streams; it must end with `status` and never with a traceback."""
    done = subprocess.run(
        [*COMMAND, *arguments], cwd=folder, check=False, capture_output=True, text=True, timeout=60, env=environment()
    )
    output = done.stdout + done.stderr
    assert done.returncode == status, output
    assert "Traceback" not in output
    return output


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "MINILOP_DATA"}


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_whole_problem_from_announcement_to_figures(tmp_path: Path) -> None:
    output = command(tmp_path, "--scale", "smoke", "--problem", "toy", "--engine", "process:2")
    lines = output.splitlines()
    assert lines[1].startswith("0 runs done, 6 to do in 4 blocks on 2 processes: about ")
    assert "toy: figures/toy_history.png and .pdf" in lines
    assert lines[-1] == "Results are in results, figures in figures."
    assert files(tmp_path / "figures") == {"toy_history.png", "toy_history.pdf"}
    for one in (block((0, 1, 2)), block((0, 1, 2), "slow")):
        assert_same(results(tmp_path / "results", one), expected(one))


def test_a_second_command_computes_nothing(tmp_path: Path) -> None:
    command(tmp_path, *QUICK)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "results").iterdir()}
    assert "6 runs done; nothing is left to compute." in command(tmp_path, *QUICK)
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "results").iterdir()} == before


def test_a_problems_figures_come_before_the_next_problem_is_done(tmp_path: Path) -> None:
    output = command(tmp_path, "--scale", "smoke", "--engine", "serial")
    assert output.index("toy: figures/toy_history.png") < output.index("toy_again fast")


def test_options_choose_learner_runs_seeds_dtype_settings_and_folders(tmp_path: Path) -> None:
    command(
        tmp_path, *QUICK, "--learner", "spare", "--runs", "2", "--seed", "5", "--dtype", "float64", "--out", "there",
        "--figures", "drawn", "--set", "toy.num_steps=4", "--set", "toy.spare.rate=2",
    )  # fmt: skip
    found = sorted((tmp_path / "there").iterdir())
    assert [path.name.rsplit("-", 1)[0] for path in found] == ["toy-spare-s5", "toy-spare-s6"]
    with np.load(found[0]) as content:
        assert content["history"].shape == (4,)
        assert content["history"].dtype == np.float64
        assert '"rate": 2' in str(content["metadata"])
    assert files(tmp_path / "drawn") == {"toy_history.png", "toy_history.pdf"}


@pytest.mark.quick
def test_the_label_of_the_scale_tells_what_was_changed() -> None:
    problems = {"toy": toy_problem, "toy_again": toy_problem}
    changes = ["toy.smallest_start=2", "toy.fast.rate=2", "toy.largest_start=3.5", "toy_again.num_steps=8"]
    toy, again = choose(problems, "smoke", dtype="float64", changes=changes)
    told = "toy.largest_start=3.5, toy.smallest_start=2.0, dtype=float64"
    assert [scale_label([one]) for one in toy.experiments] == [
        f"smoke with {told}, toy.fast.rate=2.0",
        f"smoke with {told}",
    ]
    assert scale_label(toy.experiments) == f"smoke with {told}, toy.fast.rate=2.0"
    assert scale_label(again.experiments) == "smoke with dtype=float64"  # eight steps are the scale's own
    (plain,) = choose({"toy": toy_problem}, "laptop")
    assert scale_label(plain.experiments) == "laptop"


@pytest.mark.quick
def test_the_largest_seed_is_one_word() -> None:
    (chosen,) = choose({"toy": toy_problem}, "smoke", num_runs=2, first_seed=2**32 - 2)
    assert chosen.seeds == (2**32 - 2, 2**32 - 1)


def test_a_learners_name_may_hold_a_dot(tmp_path: Path) -> None:
    command(tmp_path, *QUICK, "--runs", "1", "--learner", "rate_1e-0.5", "--set", "toy.rate_1e-0.5.rate=1.25")
    (path,) = (tmp_path / "results").iterdir()
    assert path.name.startswith("toy-rate_1e-0.5-s0-")
    with np.load(path) as content:
        assert '"rate": 1.25' in str(content["metadata"])


def test_shards_share_the_seeds_between_them(tmp_path: Path) -> None:
    for shard, seeds in ("1/2", {0, 2}), ("2/2", {1}):
        command(tmp_path, *QUICK, "--learner", "fast", "--shard", shard, "--out", f"out{shard[0]}")
        assert set(results(tmp_path / f"out{shard[0]}", block((0, 1, 2)))) == seeds
    assert "nothing is left" in command(tmp_path, *QUICK, "--runs", "1", "--shard", "2/2", "--out", "out1")


def test_a_failed_run_gives_status_one_and_the_others_are_kept(tmp_path: Path) -> None:
    output = command(tmp_path, *QUICK, "--set", "toy.mischief=raise", status=1)
    sentence = "failed twice: ZeroDivisionError in toy_problem.py, line "
    failures = [line for line in output.splitlines() if sentence in line]
    assert [line.split(",")[0] for line in failures] == ["toy fast", "toy slow"] * 2  # at once, and again at the end
    assert "Failed runs are left out." in output
    kept = block((0, 1, 2), mischief="raise")
    assert_same(results(tmp_path / "results", kept), expected(block((1, 2))))


def test_a_mistake_is_told_once_per_problem_without_a_second_try(tmp_path: Path) -> None:
    mischief = ["--set", "toy.mischief=contradict", "--set", "toy.mischief_seed=1"]
    output = command(tmp_path, *QUICK, *mischief, status=1)
    while_running, at_the_end = (
        part.count("toy: the settings contradict each other.") for part in output.split("toy: figures/toy_history.png")
    )
    assert (while_running, at_the_end) == (1, 1)  # and not once for each of the two learners
    assert "tried again" not in output


DATA = ["--set", "toy.data_file=toy.bin", "--data", "data", "--scale", "smoke", "--engine", "serial"]


def test_a_problem_without_its_data_is_left_out_and_the_others_go_on(tmp_path: Path) -> None:
    sentence = "toy: The file data/toy.bin is missing; put it into the data folder."
    output = command(tmp_path, *DATA, status=1)
    assert output.count(sentence) == 1
    assert "0 runs done, 6 to do in 4 blocks" in output  # of toy_again alone
    assert "toy_again: figures/toy_again_history.png and .pdf" in output
    assert {name.split("-")[0] for name in files(tmp_path / "results")} == {"toy_again"}
    output = command(tmp_path, *DATA, "--status", status=1)
    assert output.count(sentence) == 1
    assert ["fast", "3", "0", "0"] in [line.split() for line in output.splitlines()]
    output = command(tmp_path, *DATA, "--figures-only", status=1)
    assert output.count(sentence) == 1
    assert "toy_again: figures/toy_again_history.png and .pdf" in output
    output = command(tmp_path, *DATA, "--problem", "toy", status=1)
    assert output.strip() == sentence
    assert "toy.num_steps" in command(tmp_path, *DATA, "--list")


def test_other_data_give_other_results(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    one = [*DATA, "--problem", "toy", "--learner", "fast", "--runs", "1"]
    for content, done in (b"first", 1), (b"second", 2), (b"first", 2):
        (tmp_path / "data" / "toy.bin").write_bytes(content)
        command(tmp_path, *one)
        assert len(files(tmp_path / "results")) == done
    with np.load(next((tmp_path / "results").iterdir())) as content:
        assert '"data_source": "a toy file, sha256 ' in str(content["metadata"])


def test_a_result_that_cannot_be_read_stops_its_problem_alone(tmp_path: Path) -> None:
    path = result_path(Path("results"), block().experiment, 1)
    (tmp_path / path).mkdir(parents=True)
    output = command(tmp_path, "--scale", "smoke", "--engine", "serial", status=1)
    assert output.count(f"toy: {path} cannot be read (Is a directory); make it readable or move it away.") == 1
    assert "toy_again: figures/toy_again_history.png and .pdf" in output
    assert f"{path} cannot be read" in command(tmp_path, *QUICK, "--status", status=1)
    assert f"{path} cannot be read" in command(tmp_path, *QUICK, "--figures-only", status=1)


def test_status_and_figures_only_change_no_result_file(tmp_path: Path) -> None:
    command(tmp_path, *QUICK)
    path = result_path(tmp_path / "results", block().experiment, 1)
    path.write_bytes(b"damaged")
    before = {found.name: found.read_bytes() for found in path.parent.iterdir()}
    for option in "--status", "--figures-only":
        assert f"Warning: results/{path.name} is ignored: it is damaged" in command(tmp_path, *QUICK, option)
        assert {found.name: found.read_bytes() for found in path.parent.iterdir()} == before


SLOW = ["--scale", "smoke", "--problem", "toy", "--learner", "fast", "--engine", "process:2", "--set", "toy.pause=0.1"]
MARK = ["--set", "toy.marker=marker", "--set", "toy.mischief_seed=1"]  # run 1 makes this file at its fourth step


def start_and_wait_for_the_marker(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [*COMMAND, *SLOW, *MARK], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 20
    while not (folder / "marker").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def assert_goes_on_to_the_same_end(folder: Path) -> None:
    assert "from a checkpoint)" in command(folder, *SLOW, *MARK)
    one = block((0, 1, 2), pause=0.1, marker="marker", mischief_seed=1)
    assert_same(results(folder / "results", one), expected(one))


def test_a_data_file_that_is_replaced_while_the_command_runs_gives_no_result_under_the_former_name(
    tmp_path: Path,
) -> None:
    """The runs that have read the former file end as usual; those that would read the other one do not begin."""
    (tmp_path / "toy.bin").write_bytes(b"former")
    data = ["--set", "toy.data_file=toy.bin", "--data", ".", "--engine", "process:1"]
    arguments = [*SLOW, *MARK, *data]
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "marker").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (tmp_path / "toy.bin").write_bytes(b"other")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "toy: The data have changed since the command started: they were a toy file, sha256 " in output
    assert {name.rsplit("-", 2)[1] for name in files(tmp_path / "results")} == {"s1", "s2"}  # begun before


def test_an_interrupted_command_tells_how_to_go_on_and_does(tmp_path: Path) -> None:
    process = start_and_wait_for_the_marker(tmp_path)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert "Continue with: python " in output
    assert output.splitlines()[-1].endswith("toy_command.py " + " ".join([*SLOW, *MARK]))
    assert "%)" in command(tmp_path, *SLOW, *MARK, "--status")
    assert_goes_on_to_the_same_end(tmp_path)


def test_a_command_that_is_killed_outright_goes_on_too(tmp_path: Path) -> None:
    """Its workers notice that nobody listens any more, save and leave."""
    process = start_and_wait_for_the_marker(tmp_path)
    process.kill()
    process.communicate(timeout=30)  # until the workers, who have its output too, are gone
    assert_goes_on_to_the_same_end(tmp_path)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--problem", "toi"], "There is no problem 'toi'; did you mean toy?"),
        (["--problem", "tracking"], "There is no problem 'tracking'; choose from toy, toy_again."),
        (["--problem", "toy", "toy_again"], "'toy_again' belongs to no option; repeat --problem (or --learner,"),
        (["--learner", "fats"], "There is no learner 'fats'; did you mean fast?"),
        (["--set", "toy.num_step=3"], "There is no setting 'num_step'; did you mean num_steps?"),
        (["--set", "toy.fast.rat=3"], "There is no setting 'rat'; did you mean rate?"),
        (["--set", "toy.fats.rate=3"], "There is no learner 'fats'; did you mean fast?"),
        (["--set", "toy.spare.rate=3"], "It has no effect, since spare does not run; choose it with --learner."),
        (["--problem", "toy", "--set", "toy_again.pause=1"], "There is no problem among those that run 'toy_again'"),
        (["--set", "toy.num_steps=few"], "The setting num_steps expects a whole number, not 'few'."),
        (["--set", "toy.mischief=kil"], "(the nearest is kill), not 'kil'."),
        (["--set", "num_steps"], "--set expects problem.setting=value, problem.learner.setting=value or"),
        (["--set", "toy.num_steps"], "--set expects problem.setting=value, problem.learner.setting=value or"),
        (["--set", "=3"], "--set expects problem.setting=value, problem.learner.setting=value or"),
        (["--set", "toy.rate=3"], "rate belongs to a learner; write toy.<learner>.rate."),
        (["--set", "toy.smallest_start=2"], "--set toy: smallest_start=2 cannot be used: smallest_start must be below"),
        (["--list", "--set", "toy.num_step=3"], "There is no setting 'num_step'; did you mean num_steps?"),
        (["--list", "--set", "toy.spare.rate=3"], "It has no effect, since spare does not run"),
        (["--list", "--learner", "spore"], "There is no learner 'spore'; did you mean spare?"),
        (["--seed", "4294967294"], "The last seed would be 4294967299, but seeds are below 4294967296; choose"),
        (["--runs", "1000000000000"], "but seeds are below 4294967296; choose a smaller --seed or --runs."),
        (["--engine", "procces"], "There is no engine 'procces'; did you mean process?"),
        (["--shard", "0/2"], "--shard expects i/n with i from 1 to n"),
        (["--shard", "1/²"], "--shard expects i/n with i from 1 to n, for example 2/4, not '1/²'."),
        (["--shard", f"1/{'9' * 5000}"], "--shard expects i/n with i from 1 to n, for example 2/4, not '1/99999999"),
        (
            ["--engine", f"process:{'9' * 5000}"],
            "is invalid; choose serial, process or process:N, such as process:2.",
        ),
        (["--engine", "process:²"], "The engine 'process:²' is invalid; choose serial, process or process:N"),
        (["--scale", "huge"], "'huge' is not one of 'smoke', 'laptop', 'overnight', 'paper'"),
        (["--dtype", "float16"], "'float16' is not one of"),
        (["--runs", "0"], "0 is not in the range"),
        (["--learners", "fast"], "No such option"),
        (["--out", "file/results"], "The folder file/results cannot be written (Not a directory); choose another with"),
        (["--figures", "file"], "The folder file cannot be written (File exists); choose another with --figures."),
    ],
)
def test_wrong_usage_is_one_sentence_and_computes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    problems = {"toy": toy_problem, "toy_again": toy_problem}
    assert_refused(tmp_path, monkeypatch, problems, arguments, sentence)


def assert_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, problems: Mapping[str, Problem], arguments: list[str], sentence: str
) -> None:
    monkeypatch.chdir(folder)
    (folder / "file").touch()
    done = CliRunner().invoke(run_all.main, arguments, obj=problems)
    assert done.exit_code == 2
    assert isinstance(done.exception, SystemExit)
    assert sentence in done.output
    assert len(done.output.split("Error: ")[1].splitlines()) == 1
    assert "to do" not in done.output
    assert files(folder) - {"figures", "results"} == {"file"}
    assert not list(folder.glob("**/*.npz"))


@pytest.mark.quick
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            "backprop.replacement_rate=1e-4",
            (
                "replacement_rate belongs to continual_backprop, which backprop does not have; learners that have it: "
                "continual_backprop, both, rate_0.1, rate_0.2, rate_0.3 and 1 more."
            ),
        ),
        (
            "backprop.redo.redo_period=9",
            "redo.redo_period belongs to redo, which backprop does not have; learners that have it: redo, both.",
        ),
        (
            "adam.momentum=0.9",
            (
                "momentum belongs to optimizer sgd, which adam does not have; learners that have it: "
                "backprop, backprop_step_0.01, tanh, redo, continual_backprop and 5 more."
            ),
        ),
        (
            "backprop.reset_optimizer_state=true",
            (
                "reset_optimizer_state belongs to redo or continual_backprop, which backprop does not have; "
                "learners that have it: redo, continual_backprop, both, rate_0.1, rate_0.2 and 2 more."
            ),
        ),
        (
            "both.reset_optimizer_state=true",
            (
                "reset_optimizer_state belongs to more than one part; choose "
                "continual_backprop.reset_optimizer_state or redo.reset_optimizer_state."
            ),
        ),
        ("backprop.rate=2", "backprop has no setting rate; learners that have it: flat."),
        ("flat.activation=tanh", "activation belongs to network, which flat does not have; learners that have it: "),
        ("backprop.optimizer=adam", "There is no setting 'optimizer'; choose from "),
        ("optimizer=rmsprop", "There is no setting 'optimizer'; choose from "),
        ("flat.begin_anew=head", "There is no setting 'begin_anew'; choose from rate, dtype."),
        ("backprop.step_size=abc", "The setting step_size expects a number, not 'abc'."),
        ("backprop.stepsize=1", "There is no setting 'stepsize'; did you mean step_size?"),
        ("backprop.network.actvation=tanh", "'network.actvation'; did you mean network.activation?"),
        ("backprop.kind=linaer", "(the nearest is linear), not 'linaer'."),
        ("continual_backprop.kind=linear", "continual_backprop acts on hidden units, and kind=linear has none;"),
        ("step_size=1", "step_size belongs to a learner; write composed.<learner>.step_size."),
        ("optimizer.step_size=1", "write composed.<learner>.optimizer.step_size."),
        ("bakcprop.step_size=1", "There is no learner 'bakcprop'; did you mean backprop?"),
        ("bakcprop.optimizer.step_size=1", "There is no learner 'bakcprop'; did you mean backprop?"),
        ("rate_0.5.step_size=1", "There is no learner 'rate_0.5'; did you mean rate_0.4?"),
        ("rate_0.1=1", "There is no learner 'rate_0'"),
    ],
)
def test_a_change_that_does_not_fit_a_composed_learner_is_one_sentence_and_computes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, sentence: str
) -> None:
    every = [word for learner in toy_composed.LEARNERS for word in ("--learner", learner)]
    arguments = [*every, "--set", f"composed.{change}"]
    assert_refused(tmp_path, monkeypatch, {"composed": toy_composed}, arguments, sentence)


@pytest.mark.quick
def test_settings_of_parts_are_changed_by_short_and_by_full_names() -> None:
    """The longest name of a learner that fits is meant: backprop_step_0.01 has a dot."""
    named = [
        ("both", "redo.redo_period=9", "redo_period=9"),
        ("both", "continual_backprop.decay_rate=0.5", "decay_rate=0.5"),
    ]
    named += [("both", "redo.reset_optimizer_state=true", "redo.reset_optimizer_state=True")]
    named += [(learner, "optimizer.step_size=2", "step_size=2.0") for learner in ("backprop", "backprop_step_0.01")]
    named += [("rate_0.1", "network.activation=tanh", "activation=tanh"), ("flat", "rate=2", "rate=2.0")]
    named += [("adam", "beta_1=0.5", "beta_1=0.5"), ("tanh", "reset=head", "reset=head")]
    changes = [f"composed.{learner}.{change}" for learner, change, _ in named]
    (chosen,) = choose({"composed": toy_composed}, "smoke", list(toy_composed.LEARNERS), changes=changes)
    for experiment in chosen.experiments:
        told = [f"composed.{learner}.{label}" for learner, _, label in named if learner == experiment.learner]
        assert sorted(experiment.changes) == sorted(told)
        original = toy_composed.LEARNERS[experiment.learner]
        assert (experiment.learner_settings == original) == (not told)


def test_composed_learners_run_in_processes_and_are_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    problems = {"composed": toy_composed}
    arguments = [
        "--scale",
        "smoke",
        "--engine",
        "process:2",
        "--dtype",
        "float64",
        "--set",
        "composed.backprop.step_size=3.8",
    ]
    done = CliRunner().invoke(run_all.main, arguments, obj=problems)
    assert done.exit_code == 0, done.output
    assert "0 runs done, 6 to do" in done.output
    again = CliRunner().invoke(run_all.main, arguments, obj=problems)
    assert "6 runs done; nothing is left to compute." in again.output
    path = next((tmp_path / "results").glob("composed-backprop-s0-*.npz"))
    with np.load(path) as content:
        assert '"scale": "smoke with dtype=float64, composed.backprop.step_size=3.8"' in str(content["metadata"])
        assert '"optimizer": {"name": "sgd", "step_size": 3.8,' in str(content["metadata"])


@pytest.mark.quick
def test_the_backend_is_tried_before_anything_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_gpu(name: str) -> None:
        raise BackendError(f"No GPU for {name}; run with `--backend numpy`.")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(backend, "use", no_gpu)
    done = CliRunner().invoke(run_all.main, ["--backend", "cupy"], obj={"toy": toy_problem})
    assert done.exit_code == 2
    assert "Error: No GPU for cupy; run with `--backend numpy`." in done.output
    assert files(tmp_path) == set()


def test_list_shows_problems_learners_and_settings() -> None:
    problems = {"toy": toy_problem, "toy_again": toy_problem}
    done = CliRunner().invoke(run_all.main, ["--list", "--problem", "toy"], obj=problems)
    assert done.exit_code == 0
    assert "toy: numbers that wander between zero and one" in done.output
    rows = [line.split() for line in done.output.splitlines()]
    assert ["toy.num_steps", "8", "20", "400"] in rows
    assert ["toy.slow.rate", "1.5"] in rows
    assert "chosen with --learner (and shown by --list --learner): spare" in done.output
    assert "toy_again" not in done.output
    assert ["toy.spare"] not in rows
    named = CliRunner().invoke(run_all.main, ["--list", "--learner", "spare"], obj=problems)
    assert "toy.spare" in named.output and "toy.slow" not in named.output


def list_of(*learners: str) -> list[str]:
    """The lines of --list for the problem with composed learners."""
    arguments = ["--list", *(word for name in learners for word in ("--learner", name))]
    done = CliRunner().invoke(run_all.main, arguments, obj={"composed": toy_composed})
    assert done.exit_code == 0
    assert all(len(line) <= 120 for line in done.output.splitlines())
    return done.output.splitlines()


def test_list_shows_what_composed_learners_change() -> None:
    rows = [line.split() for line in list_of()]
    assert ["composed.backprop.step_size", "3.9", "3.9", "3.5"] in rows  # of two kinds of optimizers
    assert ["composed.adam.step_size", "3.0"] in rows
    assert ["composed.continual_backprop.replacement_rate", "0.5"] in rows
    assert ["composed.tanh.activation", "tanh"] in [line.split() for line in list_of("tanh")]


def test_list_shows_only_the_settings_that_a_learner_has() -> None:
    """The optimizer of backprop is another one at paper scale; backprop has twelve settings at most."""
    lines = list_of("backprop")
    shown = lines[lines.index("  Settings of these learners, by part, and their defaults:") + 1 :]
    assert shown == [
        "    learner: reset=nothing, dtype=float32",
        "    optimizer sgd (smoke, laptop): step_size=0.01, momentum=0.0, weight_decay=0.0",
        "    optimizer sgd_in_place (paper): step_size=0.01, weight_decay=0.0",
        "    network: kind=deep, activation=relu, dropout=0.0, batch_norm=False",
        "",
    ]
    assert " ".join(shown).count("=") <= 12


def test_list_says_which_learners_have_a_part() -> None:
    lines = list_of("backprop", "adam", "redo", "both", "flat")
    shown = [
        line.strip().split(": ")[0]
        for line in lines[lines.index("  Settings of these learners, by part, and their defaults:") :]
    ]
    assert [title for title in shown if title and "=" not in title] == [
        "Settings of these learners, by part, and their defaults:",
        "learner (backprop, adam, redo, both)",
        "learner (flat)",
        "optimizer sgd (backprop; smoke, laptop)",
        "optimizer sgd_in_place (backprop; paper)",
        "optimizer adam (adam)",
        "optimizer sgd (redo, both)",
        "network (backprop, adam, redo, both)",
        "redo (redo, both)",
        "continual_backprop (both)",
    ]


def test_a_named_problem_without_the_named_learner_is_told_of() -> None:
    asked = ["--list", "--problem", "tracking", "--problem", "feature_tracking", "--learner", "idbd"]
    done = CliRunner().invoke(run_all.main, asked, obj=run_all.PROBLEMS)
    assert done.exit_code == 0
    assert done.output.count("feature_tracking is left out: it has no learner idbd.") == 1
    none_named = CliRunner().invoke(run_all.main, ["--list", "--learner", "idbd"], obj=run_all.PROBLEMS)
    assert "is left out" not in none_named.output


@pytest.mark.quick
def test_problems_without_the_scale_are_left_out_with_a_line() -> None:
    """The overnight scale is for problems that need a GPU or days as published; the others take no part in it."""
    scales = {**toy_problem.SCALES, "overnight": toy_problem.SMOKE}
    long_problem = SimpleNamespace(**{**vars(toy_problem), "SCALES": scales})
    problems = {"toy": toy_problem, "long": long_problem, "toy_again": toy_problem}
    told = "Left out, as they have no overnight scale: toy, toy_again."
    every = CliRunner().invoke(run_all.main, ["--scale", "overnight", "--status"], obj=problems)
    assert every.exit_code == 0 and every.output.splitlines()[:2] == [told, "long"]
    assert "toy" not in every.output.splitlines()[1:]
    named = CliRunner().invoke(run_all.main, ["--scale", "overnight", "--problem", "toy"], obj=problems)
    assert named.exit_code == 2
    assert "Error: toy: no overnight scale; choose smoke or laptop or paper." in named.output
    laptop = CliRunner().invoke(run_all.main, ["--scale", "laptop", "--status"], obj=problems)
    assert "Left out" not in laptop.output


def test_runs_that_diverge_are_told_of_when_done_and_by_the_status(tmp_path: Path) -> None:
    one = ["--scale", "smoke", "--problem", "toy", "--learner", "fast", "--set", "toy.mischief=diverge"]
    output = command(tmp_path, *one, "--engine", "process:1")
    assert "toy fast, seed 0, done; 1 of 1 diverged, the first at 3." in output
    assert "toy fast, seeds 1 to 2, done. " in output
    rows = [line.split() for line in command(tmp_path, *one, "--status").splitlines()]
    assert ["fast", "3", "(diverged:", "1)", "0", "0"] in rows


def test_status_counts_what_is_done_and_missing(tmp_path: Path) -> None:
    command(tmp_path, *QUICK, "--runs", "2", "--learner", "fast")
    rows = [line.split() for line in command(tmp_path, *QUICK, "--status").splitlines()]
    assert rows[0] == ["toy"]
    assert ["fast", "2", "0", "1"] in rows
    assert ["slow", "0", "0", "3"] in rows


def test_figures_only_draws_what_is_done(tmp_path: Path) -> None:
    assert "no run is done" in command(tmp_path, *QUICK, "--figures-only")
    command(tmp_path, *QUICK, "--runs", "1", "--figures", "first")
    results_before = files(tmp_path / "results")
    command(tmp_path, *QUICK, "--figures-only", "--figures", "second")
    assert files(tmp_path / "second") == {"toy_history.png", "toy_history.pdf"}
    assert files(tmp_path / "results") == results_before


def test_a_problem_without_animations_makes_none(tmp_path: Path) -> None:
    output = command(tmp_path, *QUICK, "--runs", "1", "--animate")
    assert "toy: figures/toy_history.png and .pdf" in output
    assert files(tmp_path / "figures") == {"toy_history.png", "toy_history.pdf"}


def test_on_a_terminal_one_line_is_written_over(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *QUICK, "--learner", "fast", "--set", "toy.pause=0.06"], cwd=tmp_path, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    output = b""
    with contextlib.suppress(OSError):  # how a terminal says that nobody writes to it any more
        while part := os.read(ours, 4096):
            output += part
    os.close(ours)
    assert process.wait(timeout=30) == 0
    assert re.search(rb"\r\d+% of the work, 3 runs to go, about \d+ s left\r", output)
    lines = [line.rsplit(b"\r", 1)[-1] for line in output.split(b"\r\n")]  # what stays to be seen
    assert lines[-3:] == [b"toy: figures/toy_history.png and .pdf", b"Results are in results, figures in figures.", b""]
    assert [line.split(b".")[0] for line in lines[2:4]] == [b"toy fast, seeds 1 to 2, done", b"toy fast, seed 0, done"]


def test_without_a_terminal_there_is_a_line_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    one, stream = block((0, 1, 2, 3)), io.StringIO()
    listener = progress.Progress([one], 1, lambda problem: [f"{problem} is drawn"], stream)
    for second in range(1, 25):
        clock[0] += 1.0
        listener.progressed(one, second / 50)
    assert stream.getvalue().splitlines() == [
        "20% of the work, 4 runs to go, about 38 s left",  # 9 s for 20%, so 36 s, and two for the figures
        "40% of the work, 4 runs to go, about 30 s left",
    ]
    listener.finished(one)
    assert stream.getvalue().splitlines()[2:] == ["toy fast, seeds 0 to 3, done.", "toy is drawn"]


def test_the_announcement_counts_runs_and_guesses_the_time() -> None:
    blocks = [replace(block((seed, seed + 1)), seconds=80.0) for seed in (0, 2, 4)] + [
        replace(block((6,)), seconds=30.0, progress=0.5)
    ]
    assert (
        progress.announce(blocks, 1, 2)
        == "1 run done, 7 to do (1 from a checkpoint) in 4 blocks on 2 processes: about 2 min."
    )
    assert progress.announce(blocks[:1], 0, 8) == "0 runs done, 2 to do in 1 block on 1 process: about 1 min."
    changed = [replace(one, experiment=replace(one.experiment, changes=("toy.pause=1",))) for one in blocks[:1]]
    assert progress.announce(changed, 0, 8).endswith(": about 1 min at the scale's own settings.")
    short = [replace(one, seconds=0.1) for one in blocks]
    assert progress.announce(short, 0, 2).endswith(": about 4 s.")  # two to start, two to draw
    assert progress.announce([], 5, 2) == "5 runs done; nothing is left to compute."
    assert progress.announce([], 1, 2) == "1 run done; nothing is left to compute."
    assert [duration(seconds) for seconds in (0.2, 59, 61, 5940, 9000)] == [
        "1 s",
        "59 s",
        "1 min",
        "99 min",
        "2.5 h",
    ]


@pytest.mark.parametrize(
    "setting",
    ["permuted_mnist.step_size", "feature_tracking.input_power"],  # the second of some learners only
)
def test_a_learners_setting_given_to_the_problem_is_told_where_it_belongs(setting: str) -> None:
    problem, name = setting.split(".")
    done = CliRunner().invoke(run_all.main, ["--list", "--set", f"{setting}=0.1"], obj=run_all.PROBLEMS)
    assert done.exit_code == 2
    assert f"{name} belongs to a learner; write {problem}.<learner>.{name}." in " ".join(done.output.split())


def test_the_command_says_once_that_older_results_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "results").mkdir()
    with monkeypatch.context() as earlier:
        earlier.setattr("minilop.experiment.settings.RESULTS_FORMAT", 1)
        write_result(tmp_path / "results", block().experiment, 0, {"curve": np.zeros(3)}, {})
    for option in ([], ["--status"], ["--figures-only"]):
        assert command(tmp_path, *QUICK, *option).count("results holds files of the older results format 1") == 1


ASIDE = ["--scale", "smoke", "--problem", "toy", "--learner", "fast", "--engine", "process:2"]


def run_with(folder: Path, *arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    """The command with other streams or variables; what it prints as bytes."""
    settings: dict[str, object] = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "env": environment(),
        **options,
    }
    return subprocess.run([*COMMAND, *arguments], cwd=folder, check=False, timeout=60, **settings)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_name_that_cannot_be_printed_or_decoded_stops_nothing(tmp_path: Path, encoding: str) -> None:
    """Folders of other letters, and of a byte that is no letter in UTF-8; the figures are drawn and tell both."""
    out, figures_text = "results_\u03bb", "figures_\u96ea_".encode() + b"\xff"
    done = run_with(
        tmp_path, *QUICK, "--out", out, "--figures", os.fsdecode(figures_text), "--problem", "toy_again",
        env=environment() | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    printed = done.stdout.decode(encoding)
    assert printed.count("toy: figures_") == printed.count("toy_again: figures_") == 1
    assert printed.splitlines()[-1].startswith(
        "Results are in results_" + ("\u03bb" if encoding == "utf-8" else "\\u03bb")
    )
    with Image.open(os.fsdecode(bytes(tmp_path) + b"/" + figures_text + b"/toy_history.png")) as picture:
        assert "\\udcff" in picture.info["command"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_full_disk_below_the_output_is_told_in_a_sentence(tmp_path: Path, stream: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run_with(tmp_path, *ASIDE, **{stream: full})
    if stream == "stdout":
        assert done.returncode == 1
        (line,) = done.stderr.decode().splitlines()
        assert line.startswith(
            "The output cannot be written (No space left on device); send it elsewhere. "
            "Completed work is kept. Continue with: python "
        )
    else:
        assert done.returncode == 0  # nothing was said there
    assert "6 runs done" not in command(tmp_path, *QUICK)


def test_an_output_that_is_closed_stops_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&- 2>&-', "sh", *COMMAND, *QUICK], cwd=tmp_path, check=False, timeout=60
    )
    assert done.returncode == 0
    assert len(files(tmp_path / "results")) == 6


def test_the_settings_of_the_users_matplotlib_change_no_figure(tmp_path: Path) -> None:
    """A notebook's backend that is not installed here, LaTeX that is not either, and other colors."""
    command(tmp_path, *QUICK, "--figures", "plain")
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.size: 30\naxes.facecolor: red\nsavefig.dpi: 7\n")
    backend = {"MPLBACKEND": "module://no_such_notebook.backend_inline"}
    done = run_with(tmp_path, *QUICK, "--figures-only", "--figures", "own", env=environment() | backend)
    assert (done.returncode, done.stderr) == (0, b"")
    plain, own = (Image.open(tmp_path / folder / "toy_history.png") for folder in ("plain", "own"))
    assert plain.size == own.size
    assert plain.tobytes() == own.tobytes()


def test_what_prevents_all_figures_is_told_before_anything_is_computed(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_bytes(b"font.family: \xff\n")
    output = command(tmp_path, *QUICK, status=2)
    assert "Error: No figure can be drawn because matplotlib does not start; move a damaged matplotlibrc away" in output
    assert not list((tmp_path / "results").glob("*.npz"))


def test_a_start_redraws_no_figure_that_is_newer_than_its_results(tmp_path: Path) -> None:
    def drawn() -> int:
        return (tmp_path / "figures" / "toy_history.pdf").stat().st_mtime_ns

    command(tmp_path, *QUICK)
    first = drawn()
    assert "toy: its figures are up to date; use --figures-only to draw them again." in command(tmp_path, *QUICK)
    assert drawn() == first
    assert "toy: figures/toy_history.png and .pdf" in command(tmp_path, *QUICK, "--learner", "fast")  # other curves
    second = drawn()
    assert second > first
    assert "toy: figures/toy_history.png and .pdf" in command(tmp_path, *QUICK)
    (tmp_path / "figures" / "toy_history.png").write_bytes(b"damaged")
    assert "toy: figures/toy_history.png and .pdf" in command(tmp_path, *QUICK)
    os.utime(result_path(tmp_path / "results", block().experiment, 1))
    assert "toy: figures/toy_history.png and .pdf" in command(tmp_path, *QUICK)


def test_an_interrupt_while_the_command_starts_is_one_line(tmp_path: Path) -> None:
    """Sent as soon as NumPy is being imported, which the memory map of the process shows."""
    if not Path("/proc/self/maps").exists():
        pytest.skip("no /proc")
    # A shell's background jobs ignore the signal.
    not_ignored = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", not_ignored, sys.executable, str(Path(run_all.__file__)), "--status"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while "numpy" not in Path(f"/proc/{process.pid}/maps").read_text():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (output, errors) == ("", "Interrupted before anything began; give the same command again.\n")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("permuted_mnist.backprop.batch_norm=True", "permuted_mnist.backprop.batch_norm=True cannot be used: "),
        ("slippery_ant.ppo.dropout=0.1", "slippery_ant.ppo.dropout=0.1 cannot be used: "),
    ],
)
def test_settings_that_only_the_problem_refuses_are_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, sentence: str
) -> None:
    problem, learner, _ = change.split(".", 2)
    arguments = ["--scale", "smoke", "--problem", problem, "--learner", learner, "--set", change]
    assert_refused(tmp_path, monkeypatch, run_all.PROBLEMS, arguments, sentence)


def test_the_work_of_a_block_that_failed_is_not_counted_as_done() -> None:
    blocks, stream = [block((0, 1)), block((2, 3))], io.StringIO()
    listener = progress.Progress(blocks, 1, lambda problem: [], stream)
    listener.failed(blocks[0], "It failed.")
    assert stream.getvalue().startswith("It failed. 0% of the work, 2 runs to go, about ")


def test_figures_are_drawn_beside_the_blocks_that_still_run() -> None:
    """The engine goes on while the first problem's figures wait."""
    first, stream, may_draw = block((0,)), io.StringIO(), threading.Event()
    second = replace(first, experiment=replace(first.experiment, problem="toy_again"))

    def draw(problem: str) -> Iterable[str]:
        assert may_draw.wait(timeout=20)
        yield f"{problem} is drawn"

    with progress.Progress([first, second], 2, draw, stream, beside=True) as listener:
        listener.finished(first)
        listener.finished(second)
        assert "drawn" not in stream.getvalue()
        may_draw.set()
    assert stream.getvalue().splitlines()[-2:] == ["toy is drawn", "toy_again is drawn"]


DRAWING_FOR_EVER = """
import os, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from minilop.experiment.output import output
from minilop.experiment.progress import Progress
for seconds in (0.3, 0.8):
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()
with output("the command"), Progress([], 1, lambda problem: time.sleep(30), sys.stdout, beside=True) as progress:
    progress.finish("toy")
"""


def test_an_interrupt_while_figures_are_drawn_is_answered_and_a_second_one_obeyed() -> None:
    process = [sys.executable, "-c", DRAWING_FOR_EVER]
    done = subprocess.run(process, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 130, done.stderr
    assert done.stdout.startswith("Stopping after the figures of the current problem; interrupt again to stop")


def test_a_file_system_that_refuses_results_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: the command does not try again, and names the folder once per problem."""

    def full(path: Path, write: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minilop.experiment.archive.atomic_write", full)
    done = CliRunner().invoke(run_all.main, QUICK, obj={"toy": toy_problem})
    assert done.exit_code == 1
    sentence = (
        "toy: The folder results cannot be written (No space left on device); make room there, or choose another with "
        "--out. Its files remain unchanged."
    )
    assert done.output.count(sentence) == 2  # at once and at the end
    assert "tried again" not in done.output
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minilop.experiment.saving.atomic_write", full)
    done = CliRunner().invoke(run_all.main, QUICK, obj={"toy": toy_problem})
    assert done.exit_code == 1
    assert (
        "The figures of toy cannot be written in figures (No space left on device); make room there, or" in done.output
    )


@pytest.mark.quick
def test_every_linear_algebra_library_is_told_to_use_one_thread_in_the_command_and_its_processes() -> None:
    """Processes inherit the variables. They are set before NumPy is imported, whatever the user has set."""
    names = [f"{library}_NUM_THREADS" for library in ("OPENBLAS", "MKL", "OMP", "BLIS", "NUMEXPR")]
    names += ["VECLIB_MAXIMUM_THREADS"]
    code = f"import run_all, os; print([os.environ[name] for name in {names}])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60,
        cwd=Path(run_all.__file__).parent, env=environment() | dict.fromkeys(names, "7"),
    )  # fmt: skip
    assert done.stdout == f"{['1'] * 6}\n"
