"""Reading IDX files: hand-made ones to the byte, and every way in which one can be broken."""

import gzip
import hashlib
import re
import struct
from pathlib import Path

import numpy as np
import pytest

from minilop.data import DataError, identify_training_set, idx, read_idx, read_training_set

pytestmark = pytest.mark.quick

TWO_BY_THREE = b"\x00\x00\x08\x02" + b"\x00\x00\x00\x02" + b"\x00\x00\x00\x03" + bytes([0, 1, 2, 253, 254, 255])
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def idx_file(array):
    """The bytes of an IDX file with the given array."""
    array = np.asarray(array, dtype=np.uint8)
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def training_set(place, labels, images=None, suffix=""):
    """Write a small set with one constant image for each label, grey level 10 times the label."""
    images = np.multiply.outer(10 * np.array(labels), np.ones((28, 28), int)) if images is None else images
    pack = gzip.compress if suffix == ".gz" else bytes
    write(place / f"train-images-idx3-ubyte{suffix}", pack(idx_file(images)))
    write(place / f"train-labels-idx1-ubyte{suffix}", pack(idx_file(labels)))


def complaint(call, *arguments):
    """The message of the DataError that the call must end with."""
    with pytest.raises(DataError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")  # one sentence
    return message


def test_a_file_is_a_magic_number_sizes_and_bytes(tmp_path):
    array = read_idx(write(tmp_path / "small", TWO_BY_THREE))
    assert array.dtype == np.uint8
    assert array.tolist() == [[0, 1, 2], [253, 254, 255]]


def test_a_packed_file_is_known_by_its_content_not_by_its_name(tmp_path):
    packed_without_suffix = write(tmp_path / "small", gzip.compress(TWO_BY_THREE))
    unpacked_with_suffix = write(tmp_path / "small.gz", TWO_BY_THREE)
    assert read_idx(packed_without_suffix).tolist() == read_idx(unpacked_with_suffix).tolist()


def test_a_path_may_be_a_string(tmp_path):
    assert read_idx(str(write(tmp_path / "small", TWO_BY_THREE))).shape == (2, 3)


PACKED = gzip.compress(TWO_BY_THREE)
BROKEN = {
    "empty": (b"", "begins with nothing"),
    "too short for a magic number": (b"\x00\x00", "begins with 00 00"),
    "another format": (b"\x89PNG\r\n\x1a\n", "begins with 89 50 4e 47"),
    "no dimensions": (b"\x00\x00\x08\x00\x07", "begins with 00 00 08 00"),
    "256 dimensions less one": (b"\x00\x00\x08\xff" + b"\x00\x00\x00\x01" * 255 + b"\x07", "from 1 to 8"),
    "nothing, but of huge sizes": (b"\x00\x00\x08\x03" + bytes(4) + b"\xff" * 8, "are allowed"),
    "floats": (b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00\x00\x00\x00", "type 0d"),
    "ends in the header": (TWO_BY_THREE[:11], "after 11 of 12 bytes"),
    "truncated": (TWO_BY_THREE[:-1], "announces 18 bytes but it ends after 17"),
    "trailing byte": (TWO_BY_THREE + b"\x00", "is longer than the 18 bytes"),
    "packed and truncated inside": (gzip.compress(TWO_BY_THREE[:-1]), "announces 18 bytes but it ends after 17"),
    "packed and trailing byte inside": (gzip.compress(TWO_BY_THREE + b"\x00"), "is longer than the 18 bytes"),
    "gzip truncated in its data": (PACKED[:20], "damaged gzip file: it ends early"),
    "gzip without its checksum": (PACKED[:-8], "damaged gzip file: it ends early"),
    "gzip with a wrong checksum": (PACKED[:-8] + bytes(8), "damaged gzip file: its checksum or its size is wrong"),
    "gzip with garbage inside": (PACKED[:10] + b"\xff" * 20, "gzip file: its compressed bytes are invalid"),
    "gzip with garbage behind": (PACKED + b"garbage", "damaged gzip file: it contains bytes that gzip did not write"),
    "header announces 2^128 bytes": (b"\x00\x00\x08\x04" + b"\xff" * 16 + b"\x00", "are allowed"),
    "header announces 2 GiB": (b"\x00\x00\x08\x01\x80\x00\x00\x00abc", "are allowed"),
    "header announces 512 MiB that are not there": (b"\x00\x00\x08\x01\x20\x00\x00\x00abc", "it ends after 11"),
    "packed twice": (gzip.compress(PACKED), "is a file compressed with gzip, and not an IDX file; unpack it"),
    "a zip archive": (b"PK\x03\x04 and so on", "is a zip archive, and not an IDX file; unpack it"),
    "a web page": (b"<!DOCTYPE html>", "is a web page instead of a file, and not an IDX file"),
}


@pytest.mark.parametrize("content, finding", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named_with_the_finding_and_a_remedy(tmp_path, content, finding):
    path = write(tmp_path / "train-images-idx3-ubyte.gz", content)
    message = complaint(read_idx, path)
    assert str(path) in message and finding in message
    assert "download it again" in message or "provide the file" in message or "unpack it" in message
    assert [*tmp_path.iterdir()] == [path] and path.read_bytes() == content  # nothing written


def test_a_gzip_bomb_is_left_one_byte_after_what_its_header_announces(tmp_path, monkeypatch):
    """Thirty-two megabytes of zeros pack into 32 KB; behind a header of six bytes only one more is unpacked."""
    path = write(tmp_path / "bomb.gz", gzip.compress(TWO_BY_THREE + bytes(2**25)))
    unpacked = 0
    read = gzip.GzipFile.read

    def counting_read(self, size=-1):
        nonlocal unpacked
        content = read(self, size)
        unpacked += len(content)
        return content

    monkeypatch.setattr(gzip.GzipFile, "read", counting_read)
    assert "is longer than the 18 bytes" in complaint(read_idx, path)
    assert unpacked == 18 + 1


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    for path in (tmp_path / "absent", tmp_path):  # a folder is no file
        message = complaint(read_idx, path)
        assert str(path) in message and "check that it is a file" in message


PLACES = {
    "mnist": ["mnist", "MNIST/raw", "."],
    "fashion_mnist": ["fashion_mnist", "FashionMNIST/raw", "."],
}


@pytest.mark.parametrize("dataset, place", [(name, place) for name, places in PLACES.items() for place in places])
def test_a_set_is_found_in_its_folder_in_torchvisions_or_right_there(tmp_path, dataset, place):
    training_set(tmp_path / place, labels=[5, 0, 9], suffix=".gz")
    images, labels = read_training_set(tmp_path, dataset)
    assert images.shape == (3, 28, 28) and images.dtype == np.uint8
    assert images[:, 13, 13].tolist() == [50, 0, 90]
    assert labels.tolist() == [5, 0, 9] and labels.dtype == np.uint8


def test_both_spellings_are_found(tmp_path):
    write(tmp_path / "train-images.idx3-ubyte", idx_file(np.zeros((1, 28, 28))))
    write(tmp_path / "train-labels.idx1-ubyte.gz", gzip.compress(idx_file([7])))
    assert read_training_set(tmp_path, "mnist")[1].tolist() == [7]


def test_the_most_specific_folder_comes_first(tmp_path):
    """MNIST and Fashion-MNIST have the same file names: one may lie in the folder itself, the other below."""
    training_set(tmp_path, labels=[1])
    training_set(tmp_path / "fashion_mnist", labels=[2])
    assert read_training_set(tmp_path, "mnist")[1].tolist() == [1]
    assert read_training_set(tmp_path, "fashion_mnist")[1].tolist() == [2]


def test_images_and_labels_come_from_the_same_folder(tmp_path):
    """A lone file of one set is never completed by a file of another, which could fit by its numbers."""
    training_set(tmp_path, labels=[1])
    training_set(tmp_path / "mnist", labels=[2])
    (tmp_path / "mnist" / "train-labels-idx1-ubyte").unlink()
    images, labels = read_training_set(tmp_path, "mnist")
    assert images[0, 0, 0] == 10 and labels.tolist() == [1]


def test_a_missing_set_is_described_by_command_address_size_checksum_and_place(tmp_path):
    message = complaint(read_training_set, tmp_path / "data", "mnist")
    for part in (
        f"download it with python -m minilop.data fetch mnist --out {tmp_path / 'data'}, or get train-images",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "train-images-idx3-ubyte.gz (47,040,016 bytes unpacked, md5 6bbc9ace898e44ae57da46a324031adb)",
        "train-labels-idx1-ubyte.gz (60,008 bytes unpacked, md5 a25bea736e30d166cdddb491f175f624)",
        f"into {tmp_path / 'data' / 'mnist'}.",
    ):
        assert part in message
    assert not (tmp_path / "data").exists()


def test_an_unknown_set_is_answered_with_the_known_ones(tmp_path):
    assert "choose mnist or fashion_mnist" in complaint(read_training_set, tmp_path, "minst")


@pytest.mark.parametrize(
    "images, labels, named, finding",
    [
        (np.zeros((2, 28, 28)), [1], "train-labels-idx1-ubyte", "should hold 2 labels"),
        (np.zeros((1, 28, 28)), [[1]], "train-labels-idx1-ubyte", "but holds 1 x 1"),
        (np.zeros((2, 32, 32)), [1, 2], "train-images-idx3-ubyte", "but holds 2 x 32 x 32"),
        (np.zeros(2), [1, 2], "train-images-idx3-ubyte", "but holds 2;"),
        (np.zeros((0, 28, 28)), [], "train-images-idx3-ubyte", "but holds 0 x 28 x 28"),
        (np.zeros((3, 28, 28)), [9, 10, 11], "train-labels-idx1-ubyte", "label 1 (counted from 0) is 10"),
    ],
)
def test_files_that_do_not_fit_together_are_named(tmp_path, images, labels, named, finding):
    training_set(tmp_path, labels, images)
    message = complaint(read_training_set, tmp_path, "mnist")
    assert message.startswith(str(tmp_path / named)) and finding in message
    assert f"replace it with the file {named} from https://" in message


# --- a set is known by its checksums, never by its file names ---------------------------------------------------------


def md5(content):
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def small_sets(monkeypatch):
    """MNIST and Fashion-MNIST of two images each behind their official checksums: {dataset: labels}."""
    sets = {"mnist": [3, 4], "fashion_mnist": [5, 6]}
    for dataset, labels in sets.items():
        images = np.multiply.outer(10 * np.array(labels), np.ones((28, 28), int))
        source = idx.SOURCES[dataset]
        changed = source._replace(
            images=source.images._replace(md5=md5(idx_file(images))),
            labels=source.labels._replace(md5=md5(idx_file(labels))),
        )
        monkeypatch.setitem(idx.SOURCES, dataset, changed)
        for official in (changed.images, changed.labels):
            monkeypatch.setitem(idx.KNOWN, official.md5, source.title)
    return sets


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_official_files_are_called_by_their_title(tmp_path, small_sets, dataset, suffix):
    training_set(tmp_path, small_sets[dataset], suffix=suffix)
    title, _, labels = identify_training_set(tmp_path, dataset)
    assert title == idx.SOURCES[dataset].title and labels.tolist() == small_sets[dataset]


def test_other_files_of_the_same_names_are_called_unofficial(tmp_path, small_sets):
    """A subset, say: it may be used, but no result says that it is MNIST."""
    training_set(tmp_path, [3])
    assert identify_training_set(tmp_path, "mnist")[0] == "images that are not the official files of MNIST"
    training_set(tmp_path, small_sets["mnist"])
    write(tmp_path / "train-labels-idx1-ubyte", idx_file([4, 3]))  # the official images with other labels
    assert identify_training_set(tmp_path, "mnist")[0] == "images that are not the official files of MNIST"


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("place", ["mnist", "MNIST/raw", "."])
def test_fashion_mnist_in_the_place_of_mnist_is_refused_by_name(tmp_path, small_sets, suffix, place):
    training_set(tmp_path / place, small_sets["fashion_mnist"], suffix=suffix)
    path = tmp_path / place / f"train-images-idx3-ubyte{suffix}"
    assert complaint(read_training_set, tmp_path, "mnist") == (
        f"{path} is a file of Fashion-MNIST, by its checksum, but MNIST is expected; move it away and download "
        f"the official file with python -m minilop.data fetch mnist --out {tmp_path}."
    )


def test_a_set_of_which_only_the_packed_checksum_is_published_is_refused_by_name(tmp_path, small_sets, monkeypatch):
    """As Kuzushiji-MNIST, EMNIST and QMNIST, whose labels are no bytes."""
    training_set(tmp_path, [0, 1], suffix=".gz")
    packed = (tmp_path / "train-images-idx3-ubyte.gz").read_bytes()
    monkeypatch.setitem(idx.KNOWN, md5(packed), "Kuzushiji-MNIST (KMNIST)")
    assert "is a file of Kuzushiji-MNIST (KMNIST), by its checksum" in complaint(read_training_set, tmp_path, "mnist")
    labels = write(tmp_path / "train-labels-idx1-ubyte.gz", gzip.compress(b"\0\0\x0c\x02" + bytes(8)))
    training_set(tmp_path, small_sets["mnist"])
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    monkeypatch.setitem(idx.KNOWN, md5(labels.read_bytes()), "QMNIST")
    assert f"{labels} is a file of QMNIST" in complaint(read_training_set, tmp_path, "mnist")


def test_the_table_of_known_sets_is_well_formed():
    assert len(idx.KNOWN) == 4 + 8 + 4
    assert all(re.fullmatch("[0-9a-f]{32}", checksum) for checksum in idx.KNOWN)
    for source in idx.SOURCES.values():
        assert idx.KNOWN[source.images.md5] == idx.KNOWN[source.labels.md5] == source.title


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_fashion_mnist_of_debian_is_known_by_its_content(tmp_path):
    """Debian has packed it again, so the checksums of its .gz files are its own."""
    assert identify_training_set(tmp_path, "fashion_mnist")[0] == "Fashion-MNIST"


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_fashion_mnist_of_debian_is_found_and_whole(tmp_path):
    images, labels = read_training_set(tmp_path, "fashion_mnist")
    assert images.shape == (60_000, 28, 28)
    assert np.bincount(labels).tolist() == [6_000] * 10
