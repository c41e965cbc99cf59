"""The script that compares two result folders: what it reports, and when it fails."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from compare_results import main

from minilop.experiment import archive

ERRORS = np.array([[0.5, 0.25], [100.0, np.nan]], "float32")


def write(
    folder: Path, arrays: dict, problem: str = "tracking", learner: str = "idbd", seed: int = 0, hash_: str = "0a"
) -> Path:
    path = folder / f"{problem}-{learner}-s{seed}-{hash_}.npz"
    folder.mkdir(exist_ok=True)
    archive.write(path, arrays, {"problem": problem})
    return path


def compare(old: Path, new: Path, *options: str) -> tuple[int, str]:
    outcome = CliRunner().invoke(main, [str(old), str(new), *options], catch_exceptions=False)
    return outcome.exit_code, outcome.output


def changed(place: tuple[int, int], value: float) -> dict:
    errors = ERRORS.copy()
    errors[place] = value
    return {"errors": errors}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders; the first holds one result."""
    write(tmp_path / "old", {"errors": ERRORS})
    (tmp_path / "new").mkdir()
    return tmp_path / "old", tmp_path / "new"


@pytest.mark.quick
def test_equal_arrays_pass_whatever_the_hash(folders: tuple[Path, Path]) -> None:
    old, new = folders
    write(new, {"errors": ERRORS}, hash_="ff")
    status, output = compare(old, new)
    assert status == 0
    assert "tracking idbd: 1 of 1 arrays equal to the bit" in output


def test_one_changed_bit_is_found(folders: tuple[Path, Path]) -> None:
    """The last bit of 0.25 in float32 is worth 2^-25, here divided by max(1, 0.25) = 1."""
    old, new = folders
    errors = ERRORS.copy()
    errors.view(np.uint32)[0, 1] ^= 1
    write(new, {"errors": errors})
    status, output = compare(old, new)
    assert status == 1
    assert f"errors: 1 of 4 values differ; the largest difference is {2**-25:.2g}, {errors[0, 1]} instead of" in output
    assert "0.25 at [0, 1]" in output
    assert "tracking idbd: 0 of 1 arrays equal to the bit" in output
    assert f"1 of 1 arrays differ, 0 missing; the largest difference is {2**-25:.2g}." in output


@pytest.mark.parametrize("tolerance, status", [("0.0198", 1), ("0.0201", 0)])
def test_the_difference_of_large_values_is_relative_to_the_old_one(
    folders: tuple[Path, Path], tolerance: str, status: int
) -> None:
    """102 instead of 100 is a difference of 2 / 100, not of 2 / 102 = 0.0196."""
    old, new = folders
    write(new, changed((1, 0), 102.0))
    assert compare(old, new, "--tolerance", tolerance)[0] == status


def test_a_difference_may_be_as_large_as_the_tolerance(folders: tuple[Path, Path]) -> None:
    old, new = folders
    write(new, changed((0, 0), 0.75))
    assert compare(old, new, "--tolerance", "0.25")[0] == 0


def test_every_array_of_every_run_is_compared(tmp_path: Path) -> None:
    for folder, last in ((tmp_path / "old", 1.0), (tmp_path / "new", 2.0)):
        for seed in (1, 10):
            write(folder, {"ages": ERRORS, "errors": ERRORS, "gain": np.array(last)}, seed=seed)
    status, output = compare(tmp_path / "old", tmp_path / "new")
    assert status == 1
    assert "seed 1, gain: 1 of 1 values differ; the largest difference is 1, 2.0 instead of 1.0 at []" in output
    assert "seed 10, gain" in output
    assert "tracking idbd: 4 of 6 arrays equal to the bit" in output


@pytest.mark.parametrize(
    "before, after",
    [
        (np.array([2**53]), np.array([2**53 + 1])),
        (np.array([0, 255], "uint8"), np.array([255, 0], "uint8")),
        (np.array([True]), np.array([False])),
        (np.array(["ab"]), np.array(["ac"])),
        (np.array([1 + 1j]), np.array([1 + 2j])),
    ],
)
def test_values_that_are_not_real_numbers_are_compared_exactly(
    tmp_path: Path, before: np.ndarray, after: np.ndarray
) -> None:
    write(tmp_path / "old", {"x": before})
    write(tmp_path / "new", {"x": after})
    assert compare(tmp_path / "old", tmp_path / "new", "--tolerance", "1e-30")[0] == 1
    assert compare(tmp_path / "old", tmp_path / "old")[0] == 0


def test_opposite_values_at_the_end_of_the_range_differ_by_a_finite_number(tmp_path: Path) -> None:
    write(tmp_path / "old", {"x": np.array([1e308])})
    write(tmp_path / "new", {"x": np.array([-1e308])})
    assert "the largest difference is 2," in compare(tmp_path / "old", tmp_path / "new")[1]


def test_empty_arrays_are_equal(tmp_path: Path) -> None:
    for folder in ("old", "new"):
        write(tmp_path / folder, {"x": np.zeros((0, 3)), "y": ERRORS})
    assert "2 of 2 arrays equal" in compare(tmp_path / "old", tmp_path / "new")[1]


def test_a_change_of_layout_in_memory_is_none(folders: tuple[Path, Path]) -> None:
    old, new = folders
    write(new, {"errors": np.asfortranarray(ERRORS)})
    assert compare(old, new)[0] == 0


def test_minus_zero_differs_in_bits_alone(tmp_path: Path) -> None:
    write(tmp_path / "old", {"errors": np.array([0.0])})
    write(tmp_path / "new", {"errors": np.array([-0.0])})
    assert compare(tmp_path / "old", tmp_path / "new")[0] == 1
    assert compare(tmp_path / "old", tmp_path / "new", "--tolerance", "1e-12")[0] == 0


@pytest.mark.parametrize("place, value", [((0, 0), np.nan), ((0, 0), np.inf), ((1, 1), 1.0)])
def test_no_tolerance_excuses_a_value_that_is_no_longer_or_newly_finite(
    folders: tuple[Path, Path], place: tuple[int, int], value: float
) -> None:
    old, new = folders
    write(new, changed(place, value))
    status, output = compare(old, new, "--tolerance", "1e9")
    assert status == 1
    assert "the largest difference is inf" in output


def test_the_largest_finite_difference_is_reported_beside_an_infinite_one(folders: tuple[Path, Path]) -> None:
    old, new = folders
    write(new, {"errors": np.array([[np.nan, 0.5], [100.0, np.nan]], "float32")})
    assert "instead of 0.5 at [0, 0]; the largest finite one is 0.25" in compare(old, new)[1]


@pytest.mark.parametrize(
    "errors, words", [(ERRORS.astype(float), "is float64 (2, 2), was"), (ERRORS[:1], "is float32 (1, 2), was")]
)
def test_another_dtype_or_shape_is_a_difference(folders: tuple[Path, Path], errors: np.ndarray, words: str) -> None:
    old, new = folders
    write(new, {"errors": errors})
    status, output = compare(old, new, "--tolerance", "1e9")
    assert status == 1 and f"errors {words} float32 (2, 2)" in output


def test_what_is_missing_fails_and_what_is_new_does_not(folders: tuple[Path, Path]) -> None:
    old, new = folders
    write(new, {"errors": ERRORS})
    write(new, {"errors": ERRORS}, learner="autostep")
    write(new, {"errors": ERRORS}, seed=1)
    assert compare(old, new)[0] == 0
    status, output = compare(new, old)
    assert status == 1
    assert "tracking autostep: seed 0 is missing" in output
    assert "tracking idbd: seed 1 is missing" in output
    assert "0 of 1 arrays differ, 2 missing; the largest difference is 0. 2 of these count" in output


def test_a_missing_array_fails_and_a_new_one_does_not(folders: tuple[Path, Path]) -> None:
    old, new = folders
    write(new, {"errors": ERRORS, "ages": ERRORS})
    assert compare(old, new)[0] == 0
    status, output = compare(new, old)
    assert status == 1
    assert "ages is missing" in output


def test_only_the_problems_asked_for_are_compared(folders: tuple[Path, Path]) -> None:
    old, new = folders
    write(new, {"errors": ERRORS})
    for name, value in (("prediction", 1.0), ("feature_tracking", 2.0)):
        write(old, {"errors": ERRORS}, problem=name)
        write(new, {"errors": ERRORS * np.float32(value)}, problem=name)
    assert compare(old, new, "--problem", "tracking", "--problem", "prediction")[0] == 0
    assert compare(old, new, "--problem", "tracking", "--problem", "feature_tracking")[0] == 1
    status, output = compare(old, new, "--problem", "tracking", "--problem", "predicton")
    assert status == 2 and f"{old} holds no results of predicton." in output


@pytest.mark.parametrize("tolerance", ["nan", "inf", "-1"])
def test_a_tolerance_is_a_finite_number(folders: tuple[Path, Path], tolerance: str) -> None:
    old, _ = folders
    status, output = compare(old, old, "--tolerance", tolerance)
    assert status == 2 and "--tolerance must be a finite number, at least 0" in output


def test_folders_that_cannot_be_compared_get_one_sentence(folders: tuple[Path, Path]) -> None:
    old, new = folders

    def refused(words: str) -> bool:
        status, output = compare(old, new)
        return status == 2 and output.splitlines()[-1].startswith("Error: ") and words in output

    assert refused(f"{new} holds no results.")
    first = write(new, {"errors": ERRORS})
    second = new / "tracking-idbd-s0-ff.npz"
    shutil.copy(first, second)
    assert refused("two results of tracking, idbd, seed 0")
    shutil.move(second, new / "tracking-idbd-s1to3.ab-ff.numpy.checkpoint.npz")
    assert refused("is the checkpoint of an unfinished run; finish the command that made it.")
    (new / "tracking-idbd-s1to3.ab-ff.numpy.checkpoint.npz").rename(new / "my-problem-idbd-s0-0a.npz")
    assert refused("my-problem-idbd-s0-0a.npz does not have the name of a result; move it away.")
    (new / "my-problem-idbd-s0-0a.npz").unlink()
    first.write_bytes(first.read_bytes()[:-40])
    assert refused("cannot be read (BadZipFile); make it again.")
    write(new, {})
    write(old, {})
    assert refused("No array is in both folders, so nothing was compared.")
