"""Result files: whole or absent, checked when read, never deleted; and the reading side for figures."""

import errno
import json
import os
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_composed
from toy_blocks import Ears, experiment

from minilop.experiment import archive, results, settings
from minilop.experiment.checkpoints import checkpoint_path, remove_checkpoint, save_checkpoint
from minilop.experiment.results import (
    divergence,
    load_results,
    older_results,
    read_result,
    result_path,
    write_result,
)

pytestmark = pytest.mark.quick

ARRAYS = {"curve": np.array([1.0, np.nan, 3.0], np.float32), "count": np.array(7)}


def write(folder: Path, seed: int = 0, learner: str = "fast", arrays: dict[str, Any] = ARRAYS) -> Path:
    write_result(folder, experiment(learner), seed, arrays, {"backend": "numpy"})
    return result_path(folder, experiment(learner), seed)


def test_what_diverged_is_told_of_whole_blocks_and_of_single_runs() -> None:
    assert divergence({"diverged_at": np.array([-1, 1700, 900]), "curve": np.ones(3)}) == (
        "2 of 3 diverged, the first at 900"
    )
    assert divergence({"diverged_at": np.array(1700)}) == "1 of 1 diverged, the first at 1,700"
    assert divergence({"diverged_at": np.array(-1), "curve": np.ones(3)}) == ""
    side_by_side = {"compared.diverged_at": np.array([[-1, 3], [-1, 4]]), "rates.diverged_at": np.array([[0], [-1]])}
    assert divergence(side_by_side) == (
        "2 of 4 in compared diverged, the first at 3; 1 of 2 in rates diverged, the first at 0"
    )


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    write(tmp_path)
    found = read_result(tmp_path, experiment(), 0, Ears().warn)
    assert found is not None
    arrays, metadata = found
    np.testing.assert_array_equal(arrays["curve"], ARRAYS["curve"])
    assert arrays["curve"].dtype == np.float32
    assert arrays["count"] == 7
    assert metadata["problem_settings"]["num_steps"] == 8
    assert metadata["learner_settings"] == {"rate": 3.9, "dtype": "float32"}
    assert (metadata["seed"], metadata["scale"], metadata["dtype"]) == (0, "smoke", "float32")
    assert {"minilop_version", "numpy_version", "finished", "backend"} <= metadata.keys()


def test_the_name_tells_problem_learner_seed_and_fingerprint(tmp_path: Path) -> None:
    assert write(tmp_path, seed=12).name == f"toy-fast-s12-{experiment().fingerprint}.npz"


def test_the_file_is_an_npz_that_needs_no_pickle(tmp_path: Path) -> None:
    with np.load(write(tmp_path), allow_pickle=False) as content:
        assert set(content.files) == {"curve", "count", "metadata"}
        assert json.loads(str(content["metadata"]))["learner"] == "fast"


def test_python_objects_are_refused_and_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="[Oo]bject"):
        write(tmp_path, arrays={"curve": np.array([{}], object)})
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path, arrays={"curve": np.zeros(3)})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_being_written_has_a_name_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[Path] = []
    monkeypatch.setattr(os, "replace", lambda source, target: moved.append(source))
    path = write(tmp_path)
    write(tmp_path)
    assert len({source.name for source in moved}) == 2
    assert all(re.fullmatch(re.escape(path.name) + r"\.[0-9a-f]{16}\.tmp", source.name) for source in moved)


def test_unfinished_files_are_removed_a_day_after_they_were_written(tmp_path: Path) -> None:
    """Nothing in their names tells whether their writer lives: host names and process numbers repeat in containers."""
    old, new = ["a.npz.0123456789abcdef.tmp", "b.checkpoint.npz.host.17.tmp"], ["c.npz.0123456789abcdef.tmp"]
    for name in [*old, *new, "other.tmp"]:
        (tmp_path / name).touch()
    for name in [*old, "other.tmp"]:
        os.utime(tmp_path / name, (time.time() - 25 * 3600,) * 2)
    remove_checkpoint(tmp_path, experiment(), (0, 1), "numpy")
    assert sorted(path.name for path in tmp_path.iterdir()) == [*new, "other.tmp"]


def test_a_file_that_cannot_be_opened_is_named_in_a_sentence(tmp_path: Path) -> None:
    path = result_path(tmp_path, experiment(), 0)
    path.mkdir()
    with pytest.raises(archive.FileError) as error:
        read_result(tmp_path, experiment(), 0, Ears().warn)
    assert str(error.value) == f"{path} cannot be read (Is a directory); make it readable or move it away."


def test_a_file_that_cannot_be_set_aside_is_named_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path)
    empty(path)

    def refuse(path: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(archive.FileError, match=r"cannot be used \(it is damaged\) or renamed \(Permission denied"):
        read_result(tmp_path, experiment(), 0, Ears().warn)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(np.float32(3.0).tobytes())] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def plain_text(path: Path) -> None:
    path.write_text("not an archive")


def no_metadata(path: Path) -> None:
    np.savez(path, curve=np.zeros(3))


def metadata_is_no_dictionary(path: Path) -> None:
    np.savez(path, metadata=np.array("[1, 2]"))


def an_array_is_missing(path: Path) -> None:
    np.savez(path, metadata=np.load(path)["metadata"], curve=np.zeros(3))


def pickled(path: Path) -> None:
    np.savez(path, metadata=np.load(path)["metadata"], curve=np.array([{}], object), count=np.array(7))


def of_another_seed(path: Path) -> None:
    shutil.move(write(path.parent, seed=5), path)


def of_other_settings(path: Path) -> None:
    write_result(path.parent, experiment(num_steps=9), 0, ARRAYS, {})
    shutil.move(result_path(path.parent, experiment(num_steps=9), 0), path)


@pytest.mark.parametrize(
    "damage",
    [truncate, flip_a_bit, empty, plain_text, no_metadata, metadata_is_no_dictionary, an_array_is_missing, pickled]
    + [of_another_seed, of_other_settings],
)
def test_a_damaged_or_foreign_file_is_set_aside_with_a_sentence(tmp_path: Path, damage: Any) -> None:
    path, ears = write(tmp_path), Ears()
    damage(path)
    content = path.read_bytes()
    assert read_result(tmp_path, experiment(), 0, ears.warn) is None
    assert not path.exists()
    ending = "set-aside" if damage in (of_another_seed, of_other_settings) else "damaged"
    assert path.with_name(f"{path.name}.{ending}").read_bytes() == content
    assert len(ears.warnings) == 1
    assert "is renamed to" in ears.warnings[0]


def test_set_aside_files_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    for content in "abc":
        path.write_text(content)
        archive.set_aside(path, "for a test", Ears().warn)
    assert [file.name for file in sorted(tmp_path.iterdir())] == [
        "a.npz.set-aside",
        "a.npz.set-aside-2",
        "a.npz.set-aside-3",
    ]
    assert (tmp_path / "a.npz.set-aside-2").read_text() == "b"


def test_a_result_set_stacks_the_runs_that_are_done(tmp_path: Path) -> None:
    for seed in (0, 1, 3):
        write(tmp_path, seed, arrays={"curve": np.full(4, seed)})
    write(tmp_path, 2, "slow", arrays={"curve": np.full(4, 20)})
    write(tmp_path, 9, "slow", arrays={"curve": np.full(4, 90)})  # a seed that is not asked for
    learners = [experiment("fast"), experiment("slow"), experiment("spare")]
    found = load_results(tmp_path, learners, range(4), Ears().warn)
    assert (found.problem, found.scale, found.settings) == ("toy", "smoke", experiment().problem_settings)
    assert list(found.learners) == ["fast", "slow"]  # no run of spare is done
    np.testing.assert_array_equal(found["fast"]["curve"], np.array([[0] * 4, [1] * 4, [3] * 4]))
    assert found["slow"]["curve"].shape == (1, 4)
    assert [metadata["seed"] for metadata in found["fast"].metadata] == [0, 1, 3]
    assert (found["fast"].num_runs, found["slow"].num_runs) == (3, 1)


def test_runs_that_measured_different_things_are_not_mixed(tmp_path: Path) -> None:
    write(tmp_path, 0)
    write(tmp_path, 1, arrays={"other": np.zeros(3)})
    with pytest.raises(ValueError, match="different arrays"):
        load_results(tmp_path, [experiment()], range(2), Ears().warn)


def test_drawing_changes_no_file(tmp_path: Path) -> None:
    write(tmp_path, 0)
    truncate(write(tmp_path, 1))
    before, ears = {path.name: path.read_bytes() for path in tmp_path.iterdir()}, Ears()
    assert load_results(tmp_path, [experiment()], range(2), ears.warn)["fast"].num_runs == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert [warning.split(" is ignored: ")[1] for warning in ears.warnings] == ["it is damaged."]


def test_a_result_set_tells_what_was_changed_of_the_scale(tmp_path: Path) -> None:
    changes = {"fast": ("toy.num_steps=8", "toy.fast.rate=2"), "slow": ("toy.num_steps=8", "toy.slow.rate=3")}
    learners = [replace(experiment(learner), changes=told) for learner, told in changes.items()]
    write(tmp_path, 0)
    found = load_results(tmp_path, learners, range(2), Ears().warn)
    assert found.scale == "smoke with toy.num_steps=8, toy.fast.rate=2"  # no run of slow is shown
    write(tmp_path, 0, "slow")
    found = load_results(tmp_path, learners, range(2), Ears().warn)
    assert found.scale == "smoke with toy.num_steps=8, toy.fast.rate=2, toy.slow.rate=3"


def in_format_1(monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
    """Let `make` write its files as an earlier minilop did."""
    with monkeypatch.context() as earlier:
        earlier.setattr(settings, "RESULTS_FORMAT", 1)
        make()


def test_results_of_an_older_format_are_told_of_in_one_sentence_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_format_1(monkeypatch, lambda: [write(tmp_path, seed) for seed in (0, 1)])
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    runs = [(experiment("slow"), range(2)), (experiment("fast"), range(1, 3))]
    assert older_results(tmp_path, runs) == (
        f"{tmp_path} holds files of the older results format 1, made by an earlier minilop; "
        "they are not read and remain unchanged."
    )
    assert read_result(tmp_path, experiment(), 0, Ears().warn) is None
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()} == before
    write(tmp_path, 1)  # beside it
    assert "results format 1" in older_results(tmp_path, runs)


def test_a_checkpoint_of_an_older_format_is_told_of_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"step": np.array(4)}
    in_format_1(monkeypatch, lambda: save_checkpoint(tmp_path, experiment(), (2, 3), "numpy", state, 0.5, 1.0))
    assert not checkpoint_path(tmp_path, experiment(), (2, 3), "numpy").exists()
    assert "results format 1" in older_results(tmp_path, [(experiment(), range(4))])


def test_nothing_is_said_of_files_of_other_runs_other_settings_or_other_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [(experiment("fast"), range(2))]
    assert older_results(tmp_path / "missing", runs) == ""
    in_format_1(monkeypatch, lambda: write(tmp_path, seed=5))
    in_format_1(monkeypatch, lambda: write(tmp_path, learner="slow"))
    write(tmp_path)
    write_result(tmp_path, experiment(num_steps=9), 0, ARRAYS, {})  # other settings, this format
    empty(tmp_path / "toy-fast-s0-0123456789.npz")
    np.savez(tmp_path / "toy-fast-s1-0123456789.npz", curve=np.zeros(3))
    np.savez(tmp_path / "notes.npz", curve=np.zeros(3))
    assert older_results(tmp_path, runs) == ""


def test_only_a_few_files_are_opened_to_look_for_older_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for steps in range(10, 20):
        write_result(tmp_path, experiment(num_steps=steps), 0, ARRAYS, {})
        os.utime(result_path(tmp_path, experiment(num_steps=steps), 0), (steps, steps))
    in_format_1(monkeypatch, lambda: os.utime(write(tmp_path), (11.5, 11.5)))  # the third
    opened = []
    monkeypatch.setattr(results.archive, "read", lambda path, *rest, **options: opened.append(path))
    assert older_results(tmp_path, [(experiment(), [0])]) == ""
    assert len(opened) == 3
    monkeypatch.undo()
    assert "results format 1" in older_results(tmp_path, [(experiment(), [0])])


def test_a_composed_learner_is_stored_with_the_names_of_its_parts(tmp_path: Path) -> None:
    one = replace(experiment(), learner="redo", learner_settings=toy_composed.LEARNERS["redo"])
    write_result(tmp_path, one, 0, ARRAYS, {})
    found = read_result(tmp_path, one, 0, Ears().warn)
    assert found is not None
    assert found[1]["dtype"] == "float32"
    assert found[1]["learner_settings"]["optimizer"] == {
        "name": "sgd", "step_size": 3.9, "momentum": 0, "weight_decay": 0
    }  # fmt: skip
    assert [rule["name"] for rule in found[1]["learner_settings"]["rules"]] == ["redo"]


def test_an_error_of_the_disk_does_not_set_a_good_result_aside(tmp_path, monkeypatch):
    """A network folder that answers late says nothing about the file."""
    path = tmp_path / "run.npz"
    archive.write(path, {"error": np.ones(2)}, {"seed": 0})

    def stale(*arguments):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(archive, "_read_metadata", stale)
    with pytest.raises(archive.FileError, match=r"run.npz cannot be read \(Stale file handle\); try again"):
        archive.read(path, {}, warn=pytest.fail)
    assert path.exists()
