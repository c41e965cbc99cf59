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
    outcome = CliRunner().invoke(main, [str(old), str(new), *options])
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
    assert f"errors: 1 of 4 values differ; the largest difference is {2**-25:.2g}" in output
    assert "at [0, 1]" in output


@pytest.mark.parametrize("tolerance, status", [("0.019", 1), ("0.021", 0)])
def test_the_difference_of_large_values_is_relative(folders: tuple[Path, Path], tolerance: str, status: int) -> None:
    """102 instead of 100 is a difference of 2 / 100."""
    old, new = folders
    write(new, changed((1, 0), 102.0))
    assert compare(old, new, "--tolerance", tolerance)[0] == status


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


@pytest.mark.parametrize("errors", [ERRORS.astype(float), ERRORS[:1]])
def test_another_dtype_or_shape_is_a_difference(folders: tuple[Path, Path], errors: np.ndarray) -> None:
    old, new = folders
    write(new, {"errors": errors})
    assert compare(old, new, "--tolerance", "1e9")[0] == 1


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


def test_a_missing_array_fails_and_a_new_one_does_not(folders: tuple[Path, Path]) -> None:
    old, new = folders
    write(new, {"errors": ERRORS, "ages": ERRORS})
    assert compare(old, new)[0] == 0
    status, output = compare(new, old)
    assert status == 1
    assert "ages is missing" in output


def test_only_the_problems_asked_for_are_compared(folders: tuple[Path, Path]) -> None:
    old, new = folders
    write(old, {"errors": ERRORS}, problem="prediction")
    write(new, {"errors": ERRORS})
    assert compare(old, new, "--problem", "tracking")[0] == 0
    assert compare(old, new)[0] == 1


def test_folders_that_cannot_be_compared_get_one_sentence(folders: tuple[Path, Path]) -> None:
    old, new = folders
    status, output = compare(old, new)
    assert status == 2 and f"{new} holds no results." in output
    first = write(new, {"errors": ERRORS})
    second = new / "tracking-idbd-s0-ff.npz"
    shutil.copy(first, second)
    status, output = compare(old, new)
    assert status == 2 and "two results of tracking, idbd, seed 0" in output
    second.unlink()
    first.write_bytes(first.read_bytes()[:-40])
    status, output = compare(old, new)
    assert status == 2 and "cannot be read (BadZipFile); make it again." in output
