"""Results and checkpoints whose bytes were changed: each is read as it was written, or refused in one sentence.

The campaign here is a short one. The long one, all single bits and 2,000 mutations of each file, takes some minutes:

    python tests/test_damaged_files.py
"""

import json
import random
import resource
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from toy_blocks import Ears, experiment

from minilop.experiment import archive
from minilop.experiment.blocks import take_stock
from minilop.experiment.checkpoints import checkpoint_path, find_checkpoints, load_checkpoint, save_checkpoint
from minilop.experiment.results import load_results, read_result, result_path, write_result

ARRAYS = {
    "curve": np.linspace(0, 1, 2000, dtype=np.float32).reshape(4, 500),  # longer than what is read at a time
    "count": np.array(7),
    "masks": np.array([True, False, True]),
    "nothing": np.zeros((0, 5)),
    "doubles": np.array([1.0, np.nan, 3.0]),
}
SEEDS = (0, 1)


def a_result(folder: Path) -> tuple[Path, Callable[[], Any]]:
    """A result file, and how it is read."""
    write_result(folder, experiment(), 0, ARRAYS, {"backend": "numpy"})
    warn = Ears().warn
    return result_path(folder, experiment(), 0), lambda: read_result(folder, experiment(), 0, warn, look_only=True)


def a_checkpoint(folder: Path) -> tuple[Path, Callable[[], Any]]:
    """A checkpoint, found as a start finds it, then read as a block reads it, which sets it aside if it is damaged."""
    save_checkpoint(folder, experiment(), SEEDS, "numpy", ARRAYS, 0.5, 12.5)
    warn, path = Ears().warn, checkpoint_path(folder, experiment(), SEEDS, "numpy")

    def read() -> Any:
        if not find_checkpoints(folder, experiment(), "numpy", warn, look_only=True):
            return None
        found = load_checkpoint(folder, experiment(), SEEDS, "numpy", warn)
        path.with_name(f"{path.name}.damaged").unlink(missing_ok=True)
        return found

    return path, read


def plain(value: Any) -> Any:
    """What was read, as values that can be compared, bits of arrays included."""
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype, value.tobytes()
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def flipped(content: bytes, bits: Iterable[int]) -> bytes:
    changed = bytearray(content)
    for bit in bits:
        changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def bits_of(content: bytes) -> list[int]:
    """Every bit of the file, but of the long array's values only every 64th."""
    first = content.index(ARRAYS["curve"].tobytes())
    last = first + ARRAYS["curve"].nbytes
    return [bit for bit in range(8 * len(content)) if not first <= bit // 8 < last or bit % 64 == 0]


def mutations(content: bytes, number: int, seed: int) -> Iterator[bytes]:
    """Bits flipped, bytes replaced, pieces cut out, doubled, moved, blanked; files cut short and files made longer."""
    generator = random.Random(seed)
    for _ in range(number):
        first, second = sorted(generator.randrange(len(content)) for _ in range(2))
        second = min(second, first + generator.choice((1, 2, 8, 64, 4096)))
        piece = content[first:second]
        yield generator.choice(
            (
                flipped(content, (generator.randrange(8 * len(content)) for _ in range(generator.randint(1, 8)))),
                content[:first] + generator.randbytes(len(piece)) + content[second:],
                content[:first] + content[second:],
                content[:second] + piece + content[second:],
                content[:first] + bytes(len(piece)) + content[second:],
                content[:first] + b"\xff" * len(piece) + content[second:],
                content[:first],
                content + generator.randbytes(len(piece)),
                content[:first] + piece[::-1] + content[second:],
            )
        )


def campaign(folder: Path, make: Any, changed: Callable[[bytes], Iterable[bytes]]) -> Counter[str]:
    """How many of the changed files are read as written, and how many refused. Fails for other values or an error."""
    path, read = make(folder)
    content, told = path.read_bytes(), Counter[str]()
    wanted = plain(read())
    peak = most_memory()  # of earlier tests in this process, too
    for one in changed(content):
        path.write_bytes(one)
        began = time.monotonic()
        found = read()
        assert time.monotonic() - began < 5.0
        assert found is None or plain(found) == wanted, "damage was read as values"
        told["refused" if found is None else "as written"] += 1
    assert most_memory() < max(peak + 1, 1_000_000)
    return told


def most_memory() -> int:
    """The largest size that this process has had, in kilobytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.campaign
@pytest.mark.parametrize("make", [a_result, a_checkpoint])
def test_no_mutation_is_read_as_other_values(tmp_path: Path, make: Any) -> None:
    assert campaign(tmp_path, make, lambda content: mutations(content, 300, seed=1))["refused"] > 200


@pytest.mark.campaign
@pytest.mark.parametrize("make", [a_result, a_checkpoint])
def test_no_flipped_bit_is_read_as_other_values(tmp_path: Path, make: Any) -> None:
    told = campaign(tmp_path, make, lambda content: (flipped(content, [bit]) for bit in bits_of(content)[::97]))
    assert told["refused"] > 2 * told["as written"] > 0  # dates and attributes in the zip archive mean nothing


@pytest.mark.quick
def test_no_flipped_bit_of_an_arrays_header_is_accepted(tmp_path: Path) -> None:
    """NumPy alone accepts 3 of the 1,024: the array is shorter then, and the archive's checksum is not compared."""
    path, read = a_result(tmp_path)
    content = path.read_bytes()
    with zipfile.ZipFile(path) as file:
        first = file.getinfo("curve.npy").header_offset
    start = 8 * content.index(b"\x93NUMPY", first)
    for bit in range(start, start + 8 * 128):
        path.write_bytes(flipped(content, [bit]))
        assert read() is None


@pytest.mark.quick
def test_a_damaged_array_is_found_when_it_is_used_and_set_aside_once(tmp_path: Path) -> None:
    """--status reads metadata alone; the command that computes reads all, and does the run again."""
    for seed in (0, 1):
        write_result(tmp_path, experiment(), seed, ARRAYS, {})
    path = result_path(tmp_path, experiment(), 1)
    content = path.read_bytes()
    path.write_bytes(content.replace(ARRAYS["doubles"].tobytes(), ARRAYS["doubles"][::-1].tobytes()))
    ears = Ears()
    assert take_stock(experiment(), SEEDS, tmp_path, "numpy", ears.warn, look_only=True).done == (0, 1)
    assert ears.warnings == []
    assert load_results(tmp_path, [experiment()], SEEDS, ears.warn)["fast"].num_runs == 1
    assert ears.warnings == [f"{path} is ignored: it is damaged."]
    for _ in range(2):
        assert take_stock(experiment(), SEEDS, tmp_path, "numpy", ears.warn).missing == (1,)
    assert ears.warnings[1:] == [f"{path} is renamed to {path.name}.damaged, and its work is repeated: it is damaged."]


@pytest.mark.quick
def test_the_metadata_tell_shape_type_and_digest_of_each_array(tmp_path: Path) -> None:
    path, read = a_result(tmp_path)
    about = read()[1]["arrays"]
    assert {name: (tuple(one["shape"]), one["dtype"]) for name, one in about.items()} == {
        name: (array.shape, str(array.dtype)) for name, array in ARRAYS.items()
    }
    with np.load(path) as content:
        assert json.loads(str(content["metadata"]))["arrays"] == about
    assert all(len(one["sha256"]) == 64 for one in about.values())


IMPOSSIBLE = [
    {"progress": -0.5}, {"progress": 1.5}, {"progress": "half"}, {"progress": None}, {"progress": float("nan")},
    {"seeds": "0, 1"}, {"seeds": []}, {"seeds": None}, {"seeds": [0.0, 1.0]}, {"seeds": [-1, 0]}, {"seeds": {"0": 1}},
    {"seconds": -1.0}, {"seconds": "long"}, {"seconds": float("inf")}, {"seconds": [1]},
]  # fmt: skip


@pytest.mark.quick
@pytest.mark.parametrize("change", IMPOSSIBLE, ids=str)
def test_a_checkpoint_that_says_impossible_things_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    write = archive.write
    monkeypatch.setattr(archive, "write", lambda path, arrays, metadata: write(path, arrays, {**metadata, **change}))
    save_checkpoint(tmp_path, experiment(), SEEDS, "numpy", ARRAYS, 0.5, 12.5)
    ears = Ears()
    standing = take_stock(experiment(), SEEDS, tmp_path, "numpy", ears.warn, look_only=True)
    assert (standing.partial, standing.missing, len(ears.warnings)) == ((), SEEDS, 1)
    assert "is ignored: its seeds, its progress or its time have impossible values." in ears.warnings[0]


def main() -> None:
    import tempfile

    for make in (a_result, a_checkpoint):
        for name, changed in (
            ("single bits", lambda content: (flipped(content, [bit]) for bit in bits_of(content))),
            ("mutations", lambda content: mutations(content, 2000, seed=0)),
        ):
            with tempfile.TemporaryDirectory() as folder:
                print(make.__name__, name, dict(campaign(Path(folder), make, changed)), flush=True)
    print("most memory:", most_memory() // 1000, "MB")


if __name__ == "__main__":
    main()
