"""The store of ImageNet 32 x 32: made from small files in the three official layouts, interrupted, and refused."""

import errno
import gzip
import hashlib
import json
import multiprocessing
import os
import pickle
import re
import shutil
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner

from minilop.data import DataError, imagenet32, imagenet32_conversion, imagenet32_sources, open_store, unpickle_arrays
from minilop.data.__main__ import main
from minilop.data.imagenet32_conversion import convert

CLASSES = 3
IN_CLASS = 702  # images of each, two more than are used
BATCHES = range(1, 11)


@pytest.fixture(scope="module")
def content():
    """Images (N, 3072) and labels (N,) from 1, in an order of their own, as in the official batches."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(1, CLASSES + 1), IN_CLASS))
    return rng.integers(0, 256, (len(labels), 3072), dtype=np.uint8), labels


@pytest.fixture(scope="module")
def batches(content):
    """Ten batches, not all of one size."""
    images, labels = content
    return list(zip(np.array_split(images, 10), np.array_split(labels, 10), strict=True))


@pytest.fixture(scope="module")
def expected(content):
    """(CLASSES, 700, 3, 32, 32) by the definition: the first 700 of each class."""
    images, labels = content
    return np.stack([images[labels == label][:700].reshape(700, 3, 32, 32) for label in range(1, CLASSES + 1)])


def write_batch(folder, number, data, labels, form):
    mean = data.mean(axis=0)
    if form == "npz":
        np.savez(folder / f"train_data_batch_{number}.npz", data=data, labels=labels, mean=mean)
    else:
        written = {"data": data, "labels": labels.tolist(), "mean": mean}
        (folder / f"train_data_batch_{number}").write_bytes(pickle.dumps(written, protocol=2))


@pytest.fixture(scope="module", params=["npz", "pickle"])
def form(request):
    return request.param


@pytest.fixture(scope="module")
def originals(form, batches, tmp_path_factory):
    folder = tmp_path_factory.mktemp(form)
    for number, (data, labels) in zip(BATCHES, batches, strict=True):
        write_batch(folder, number, data, labels, form)
    return folder


@pytest.fixture
def source(originals, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(originals, tmp_path / "source")


def make(source, out, **options):
    convert(source, out, **{"checksums": False, "num_classes": CLASSES, **options})


def batch(source, number):
    return next(path for path in source.iterdir() if path.stem == f"train_data_batch_{number}")


def refused(source, out, **options):
    """The one sentence with which `source` is refused; no store is left under its final name."""
    with pytest.raises(DataError) as caught:
        make(source, out, **options)
    assert not (out / "images.npy").exists()
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".")
    return sentence


def test_a_store_holds_the_first_700_images_of_every_class_in_order(originals, expected, tmp_path):
    make(originals, tmp_path)
    store = open_store(tmp_path)
    assert store.num_classes == CLASSES
    for class_number in range(CLASSES):
        images = store.images(class_number)
        assert images.shape == (700, 3, 32, 32) and images.dtype == np.uint8
        assert np.array_equal(images, expected[class_number])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.npy", "mean.npy", "store.json"]


def test_inputs_are_bytes_over_255_less_the_mean_of_the_training_images(originals, expected, tmp_path):
    make(originals, tmp_path)
    store = open_store(tmp_path)
    assert store.mean.shape == (3, 32, 32) and store.mean.dtype == np.float32
    np.testing.assert_allclose(store.mean, (expected[:, :600] / 255).mean(axis=(0, 1)), atol=1e-6)
    assert store.inputs(1).dtype == np.float32
    np.testing.assert_allclose(
        store.inputs(1), expected[1] / 255 - (expected[:, :600] / 255).mean(axis=(0, 1)), atol=1e-6
    )


@pytest.mark.quick
def test_a_store_is_read_from_the_disk_when_looked_at_and_cannot_be_written(originals, tmp_path):
    make(originals, tmp_path)
    images = open_store(tmp_path).images(0)
    assert isinstance(images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0, 0, 0, 0] = 1


def test_a_batch_that_is_read_in_many_pieces_gives_the_same(originals, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(imagenet32_sources, "PIECE", 7)
    make(originals, tmp_path)
    assert np.array_equal(open_store(tmp_path).array, expected)


class Stop(Exception):
    """Stands in for a key pressed or a power cut."""


@pytest.mark.parametrize("stop_at", [0, 1, 4, 9, 10])
def test_an_interrupted_conversion_goes_on_and_ends_byte_for_byte_alike(originals, tmp_path, stop_at):
    make(originals, tmp_path / "in one go")
    seen = []

    def stop(done, total, what):
        if done == stop_at:
            raise Stop

    out = tmp_path / "interrupted"
    with pytest.raises(Stop):
        make(originals, out, report=stop)
    with pytest.raises(DataError, match=r"There is no .*images\.npy"):
        open_store(out)
    make(originals, out, report=lambda done, total, what: seen.append((done, total, what)))
    assert seen[0][:2] == (stop_at, 10)  # what was done is not done again
    assert seen[-2:] == [(10, 10, "the mean image"), (10, 10, "")]
    for name in ("images.npy", "mean.npy", "store.json"):
        assert (out / name).read_bytes() == (tmp_path / "in one go" / name).read_bytes()
    assert len(list(out.iterdir())) == 3


def test_a_stop_within_a_batch_begins_that_batch_anew(originals, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(imagenet32_sources, "PIECE", 50)
    put, calls = imagenet32_conversion._put, []

    def stop(*arguments):
        calls.append(arguments)
        if len(calls) == 18:  # in the fourth batch of 210 images
            raise Stop
        put(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(imagenet32_conversion, "_put", stop)
        with pytest.raises(Stop):
            make(originals, tmp_path)
    assert len(json.loads((tmp_path / "images.npy.part.json").read_text())["done"]) == 3
    make(originals, tmp_path)
    assert np.array_equal(open_store(tmp_path).array, expected)


def test_progress_of_other_files_is_not_gone_on_with(source, batches, expected, tmp_path, form):
    def stop(done, total, what):
        if done == 5:
            raise Stop

    write_batch(source, 2, batches[2][0], batches[2][1], form)  # the third, by mistake
    with pytest.raises(Stop):
        make(source, tmp_path / "out", report=stop)
    write_batch(source, 2, batches[1][0], batches[1][1], form)
    os.utime(batch(source, 2), ns=(1, 1))
    make(source, tmp_path / "out")
    assert np.array_equal(open_store(tmp_path / "out").array, expected)


def test_damaged_progress_begins_anew(originals, expected, tmp_path):
    (tmp_path / "images.npy.part").write_bytes(b"not much")
    (tmp_path / "images.npy.part.json").write_text('{"done": [1, ')
    make(originals, tmp_path)
    assert np.array_equal(open_store(tmp_path).array, expected)


@pytest.mark.parametrize("kept", [None, 0, 1_000_000])
def test_a_part_that_was_lost_or_cut_begins_anew(originals, expected, tmp_path, kept):
    """Its line of progress alone is not believed."""

    def stop(done, total, what):
        if done == 5:
            raise Stop

    with pytest.raises(Stop):
        make(originals, tmp_path, report=stop)
    part = tmp_path / "images.npy.part"
    if kept is None:
        part.unlink()
    else:
        os.truncate(part, kept)

    def stop_again(done, total, what):
        raise Stop

    with pytest.raises(Stop):  # the part has its full size again, and nothing in it
        make(originals, tmp_path, report=stop_again)
    make(originals, tmp_path)
    assert np.array_equal(open_store(tmp_path).array, expected)


def test_a_store_that_is_done_is_left_alone(originals, tmp_path):
    make(originals, tmp_path)
    before = (tmp_path / "images.npy").stat().st_mtime_ns
    make(tmp_path / "not even a source", tmp_path)
    assert (tmp_path / "images.npy").stat().st_mtime_ns == before


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_prepared_class_files_give_the_same_store(expected, tmp_path, dtype):
    """Centred floats stay floats, and nothing more is taken away from them."""
    mean = (expected[:, :600] / 255).mean(axis=(0, 1))
    prepared = expected if dtype == np.uint8 else (expected / 255 - mean).astype(dtype)
    folder = tmp_path / "source" / "classes"
    folder.mkdir(parents=True)
    for class_number, images in enumerate(prepared):
        np.save(folder / f"{class_number}.npy", images)
    make(tmp_path / "source", tmp_path / "out")
    store = open_store(tmp_path / "out")
    assert store.array.dtype == (np.uint8 if dtype == np.uint8 else np.float32)
    assert np.array_equal(store.array, prepared.astype(store.array.dtype))
    np.testing.assert_allclose(store.inputs(2), expected[2] / 255 - mean, atol=1e-6)
    if dtype != np.uint8:
        np.testing.assert_allclose(store.mean, np.zeros((3, 32, 32)), atol=1e-6)


@pytest.mark.quick
def test_official_checksums_are_compared(originals, form, tmp_path):
    if form == "pickle":
        make(originals, tmp_path, checksums=True)  # none are known
        return
    sentence = refused(originals, tmp_path, checksums=True)
    found = hashlib.md5(batch(originals, 1).read_bytes()).hexdigest()
    assert f"train_data_batch_1.npz has the md5 checksum {found}" in sentence
    assert "the official file has 464fde20de6eb44c28cc1a8c11544bb1; download it again, or use --no-checks" in sentence


@pytest.mark.quick
def test_the_list_of_official_checksums_is_well_formed():
    assert len(set(imagenet32_sources.MD5)) == 10
    assert all(len(md5) == 32 and int(md5, 16) for md5 in imagenet32_sources.MD5)


def test_a_right_checksum_is_believed(originals, form, expected, tmp_path, monkeypatch):
    if form == "npz":
        sums = [hashlib.md5(batch(originals, number).read_bytes()).hexdigest() for number in BATCHES]
        monkeypatch.setattr(imagenet32_sources, "MD5", sums)
    make(originals, tmp_path, checksums=True)
    assert np.array_equal(open_store(tmp_path).array, expected)


@pytest.mark.quick
def test_a_missing_batch_is_named(source, tmp_path):
    name = batch(source, 7).name
    batch(source, 7).unlink()
    assert "holds 9 of the 10 files" in refused(source, tmp_path / "out")
    assert f"put the others beside them: {name}." in refused(source, tmp_path / "out")
    for number in (1, 2, 3):
        batch(source, number).unlink()
    assert " and 1 more." in refused(source, tmp_path / "out")


def test_a_folder_of_no_known_form_is_refused(tmp_path):
    (tmp_path / "val_data.npz").touch()
    for folder in (tmp_path, tmp_path / "nowhere", tmp_path / "val_data.npz"):
        sentence = refused(folder, tmp_path / "out")
        assert f"{folder} does not hold ImageNet 32x32 in a known form; give the folder" in sentence
    assert not (tmp_path / "out").exists()


def test_a_batch_of_the_16_by_16_variant_is_named_as_such(source, batches, form, tmp_path):
    write_batch(source, 3, batches[2][0][:, :768], batches[2][1], form)
    sentence = refused(source, tmp_path / "out")
    assert f"{batch(source, 3).name} is a batch of the 16 x 16 variant" in sentence
    assert "get the batch of the same name of ImageNet 32x32 from" in sentence


def test_the_16_by_16_variant_is_named_before_its_checksum(batches, tmp_path):
    for number, (data, labels) in zip(BATCHES, batches, strict=True):
        write_batch(tmp_path, number, data[:, :768], labels, "npz")
    assert "train_data_batch_1.npz is a batch of the 16 x 16" in refused(tmp_path, tmp_path / "out", checksums=True)


def test_a_class_with_fewer_than_700_images_is_named(source, batches, form, tmp_path):
    data, labels = batches[9]
    keep = np.flatnonzero(labels != 2)
    write_batch(source, 10, data[keep], labels[keep], form)
    count = 702 - (labels == 2).sum()
    sentence = refused(source, tmp_path / "out")
    assert f"has only {count} images of class 1 (counted from 0), but 700 are needed; provide the complete" in sentence
    write_batch(source, 10, data, labels, form)  # repaired: the same command then ends well
    make(source, tmp_path / "out")


@pytest.mark.parametrize("labels", [np.zeros(211, int), np.full(211, CLASSES + 1), np.ones(5, int), np.ones(211)])
def test_labels_that_do_not_fit_are_refused(source, batches, form, tmp_path, labels):
    write_batch(source, 1, batches[0][0], labels, form)
    assert "train_data_batch_1" in refused(source, tmp_path / "out")


@pytest.mark.parametrize("data", [np.zeros((5, 3072)), np.zeros((5, 3071), np.uint8), np.zeros(5, np.uint8)])
def test_data_of_another_shape_or_type_is_refused(source, form, tmp_path, data):
    write_batch(source, 1, data, np.ones(5, int), form)
    assert "train_data_batch_1" in refused(source, tmp_path / "out")
    assert "should hold data of N x 3072 bytes" in refused(source, tmp_path / "out")


@pytest.mark.parametrize("kept", [0, 10, 0.3, 0.9, 0.999])
def test_a_truncated_batch_is_named(source, tmp_path, kept):
    path = batch(source, 2)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept if kept > 1 else kept * len(content))])
    assert f"{path} is" in refused(source, tmp_path / "out")
    path.write_bytes(content)
    make(source, tmp_path / "out")


def test_one_wrong_byte_in_an_npz_batch_is_found(batches, tmp_path):
    for number, (data, labels) in zip(BATCHES, batches, strict=True):
        write_batch(tmp_path, number, data, labels, "npz")
    path = batch(tmp_path, 4)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert f"{path} is damaged or truncated: a checksum in it is wrong; get" in refused(tmp_path, tmp_path / "out")


def test_an_npz_batch_of_python_objects_is_not_unpickled(batches, tmp_path):
    for number, (data, labels) in zip(BATCHES, batches, strict=True):
        write_batch(tmp_path, number, data, labels, "npz")
    np.savez(batch(tmp_path, 1), data=batches[0][0], labels=np.array([Malicious(tmp_path)] * 211, dtype=object))
    assert "holds Python objects, but numbers are expected, so nothing was read" in refused(tmp_path, tmp_path / "out")
    with zipfile.ZipFile(batch(tmp_path, 1), "w") as archive:
        archive.writestr("something.npy", b"else")
    assert "train_data_batch_1.npz does not hold data; get" in refused(tmp_path, tmp_path / "out")
    assert not (tmp_path / "ran").exists()


class TestClassFiles:
    @pytest.fixture
    def source(self, tmp_path):
        folder = tmp_path / "source"
        folder.mkdir()
        for class_number in range(CLASSES):
            np.save(folder / f"{class_number}.npy", np.full((701, 3, 32, 32), class_number, np.uint8))
        return folder

    def test_more_than_700_images_are_no_harm(self, source, tmp_path):
        make(source, tmp_path / "out")
        assert open_store(tmp_path / "out").images(2).mean() == 2

    @pytest.mark.parametrize(
        ("images", "words"),
        [
            (np.zeros((699, 3, 32, 32), np.uint8), "has only 699 images of class 1"),
            (np.zeros((700, 3, 16, 16), np.uint8), "but holds 700 x 3 x 16 x 16 of type uint8"),
            (np.zeros((700, 3, 32, 32), np.int64), "of type int64"),
            (np.zeros((700, 3, 32, 32), np.float32), "holds float32, but the first class holds uint8"),
            (np.array([None]), "holds Python objects, but numbers are expected"),
        ],
    )
    def test_a_file_that_does_not_fit_is_named(self, source, tmp_path, images, words):
        np.save(source / "1.npy", images)
        sentence = refused(source, tmp_path / "out")
        assert str(source / "1.npy") in sentence and words in sentence
        np.save(source / "1.npy", np.ones((700, 3, 32, 32), np.uint8))
        make(source, tmp_path / "out")

    def test_a_packed_file_is_named_as_such(self, source, tmp_path):
        (source / "0.npy").write_bytes(gzip.compress((source / "0.npy").read_bytes()))
        assert f"{source / '0.npy'} is a file compressed with gzip; unpack it." == refused(source, tmp_path / "out")

    @pytest.mark.parametrize("value", [1.5, np.nan, -np.inf])
    def test_floats_that_are_not_centred_pixels_are_refused(self, source, tmp_path, value):
        for class_number in range(CLASSES):
            np.save(source / f"{class_number}.npy", np.full((700, 3, 32, 32), value, np.float32))
        assert "0.npy holds floats larger than 1 or not finite" in refused(source, tmp_path / "out")

    def test_a_missing_class_and_a_truncated_one_are_named(self, source, tmp_path):
        content = (source / "2.npy").read_bytes()
        for length in (0, 20, 100_000):
            (source / "2.npy").write_bytes(content[:length])
            assert re.search(
                "2.npy is (not an npy array|a damaged npy array|damaged)", refused(source, tmp_path / "out")
            )
        (source / "2.npy").unlink()
        assert "holds 2 of the 3 files 0.npy ... 2.npy; put the others beside them: 2.npy." in refused(source, tmp_path)


def test_a_full_disk_is_said_before_anything_is_read(originals, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 0))
    sentence = refused(originals, tmp_path)
    assert f"{tmp_path} cannot be read or written" in sentence and "make room or choose another --out" in sentence


def test_a_disk_that_fills_up_meanwhile_leaves_what_can_be_gone_on_with(originals, expected, tmp_path, monkeypatch):
    sync, calls = imagenet32_conversion.sync, []

    def full(file):
        calls.append(file)
        if len(calls) == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(file)

    with monkeypatch.context() as patched:
        patched.setattr(imagenet32_conversion, "sync", full)
        assert "No space left on device" in refused(originals, tmp_path)
    make(originals, tmp_path)
    assert np.array_equal(open_store(tmp_path).array, expected)


def test_a_folder_that_cannot_be_made_is_refused(originals, tmp_path):
    (tmp_path / "file").touch()
    sentence = refused(originals, tmp_path / "file" / "out")
    assert "cannot be read or written (Not a directory); a file is in its way: remove that file or" in sentence


def test_two_conversions_do_not_write_one_store(originals, tmp_path):
    pytest.importorskip("fcntl")

    def second(done, total, what):
        if done == 5:
            assert "is being written by another command" in refused(originals, tmp_path)

    make(originals, tmp_path, report=second)
    open_store(tmp_path)


def test_what_is_no_store_is_not_opened(originals, tmp_path):
    with pytest.raises(DataError, match=r"There is no .*; make it with python -m minilop\.data imagenet32 SOURCE"):
        open_store(tmp_path)
    make(originals, tmp_path)
    content = (tmp_path / "images.npy").read_bytes()
    (tmp_path / "images.npy").write_bytes(content[:-1])
    with pytest.raises(DataError, match="is damaged: it has .* bytes, but .*; delete images.npy and make it with"):
        open_store(tmp_path)
    (tmp_path / "images.npy").write_bytes(content)
    mean = (tmp_path / "mean.npy").read_bytes()
    (tmp_path / "mean.npy").unlink()
    with pytest.raises(DataError, match="mean.npy is missing beside .*; delete images.npy and make it with"):
        open_store(tmp_path)
    (tmp_path / "mean.npy").write_bytes(mean)
    np.save(tmp_path / "images.npy", np.zeros(3))
    with pytest.raises(DataError, match="is not a store of ImageNet 32x32"):
        open_store(tmp_path)


class Malicious:
    """Unpickled by Python's own reader, it runs a command."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.system, (f"touch '{self.folder / 'ran'}'",)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_asks_for_a_command_is_refused_and_not_run(tmp_path, protocol):
    path = tmp_path / "train_data_batch_1"
    path.write_bytes(pickle.dumps({"data": np.zeros(3), "labels": Malicious(tmp_path)}, protocol))
    with pytest.raises(DataError, match=r"asks for (posix|nt)\.system, but only arrays are allowed\. None"):
        unpickle_arrays(path)
    assert not (tmp_path / "ran").exists()
    pickle.loads(path.read_bytes())  # the test's own test: Python's reader does run it
    assert os.name != "posix" or (tmp_path / "ran").exists()


def test_a_conversion_refuses_a_malicious_batch(batches, tmp_path):
    for number, (data, labels) in zip(BATCHES, batches, strict=True):
        write_batch(tmp_path, number, data, labels, "pickle")
    batch(tmp_path, 5).write_bytes(pickle.dumps({"data": Malicious(tmp_path), "labels": []}))
    assert "asks for" in refused(tmp_path, tmp_path / "out")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", [b"cbuiltins\neval\n", b"cnumpy\nload\n", b"cnumpy.core.multiarray\nfromfile\n"])
def test_other_functions_are_refused_also_those_of_numpy(tmp_path, name):
    path = tmp_path / "pickle"
    path.write_bytes(name + b"(tR.")
    with pytest.raises(DataError, match="but only arrays are allowed"):
        unpickle_arrays(path)


def test_arrays_of_python_objects_are_refused(tmp_path):
    path = tmp_path / "pickle"
    path.write_bytes(pickle.dumps(np.array([1, None], dtype=object)))
    with pytest.raises(DataError, match="asks for an array of type object"):
        unpickle_arrays(path)


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_scalars_and_plain_things_are_read_from_every_protocol(tmp_path, protocol):
    content = {"data": np.arange(12, dtype=np.uint8).reshape(3, 4), "labels": [3, 1], "mean": np.linspace(0, 1, 3)}
    content |= {
        "number": np.float32(0.5),
        "columns": np.asfortranarray(np.eye(2)),
        "names": ["a.png"],
        b"bytes": b"\xff",
    }
    path = tmp_path / "pickle"
    path.write_bytes(pickle.dumps(content, protocol))
    read = unpickle_arrays(path)
    assert read.keys() == content.keys()
    assert all(np.array_equal(read[key], content[key]) for key in content)
    assert read["data"].dtype == np.uint8 and read["number"].dtype == np.float32


def test_modules_are_known_by_their_old_and_new_names(tmp_path):
    path = tmp_path / "pickle"
    written = pickle.dumps(np.arange(3), protocol=2)
    new, old = b"numpy._core.multiarray", b"numpy.core.multiarray"
    for name in (new, old):
        path.write_bytes(written.replace(new, name).replace(old, name))
        assert unpickle_arrays(path).tolist() == [0, 1, 2]


def test_pickles_of_python_2_are_read(tmp_path):
    """As the official ones: module names of its time, and the array's bytes as a string of 8-bit characters."""
    dtype = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    state = b"(K\x01K\x02\x85" + dtype + b"\x89U\x02\x07\xfftb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR" + state
    path = tmp_path / "pickle"
    path.write_bytes(b"\x80\x02}U\x04data" + array + b"s.")
    assert unpickle_arrays(path)["data"].tolist() == [7, 255]


@pytest.mark.parametrize("content", [b"", b"no pickle", b"\x80\x02}", b"\x80\x63.", b"(lp0\n."])
def test_what_is_no_whole_pickle_is_said_to_be_damaged(tmp_path, content):
    path = tmp_path / "pickle"
    path.write_bytes(content)
    if content == b"(lp0\n.":
        assert unpickle_arrays(path) == []
        return
    with pytest.raises(DataError, match="is not a pickle, or it is damaged or truncated: .*; download it again"):
        unpickle_arrays(path)


def test_a_pickle_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        unpickle_arrays(tmp_path)


def test_the_command_makes_a_store(originals, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "__defaults__", (True, convert.__defaults__[1], CLASSES, convert.__defaults__[3]))
    arguments = ["imagenet32", str(originals), "--no-checksums", "--out", str(tmp_path)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[0] == f"0 of 10 files are converted, now {batch(originals, 1).name}"
    assert result.output.splitlines()[-1] == f"ImageNet 32x32 is in {tmp_path}."
    assert np.array_equal(open_store(tmp_path).array, expected)


def test_the_command_says_what_is_wrong_in_a_sentence(tmp_path):
    result = CliRunner().invoke(main, ["imagenet32", str(tmp_path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 1 and result.output.startswith(
        f"Error: {tmp_path} does not hold ImageNet 32x32 in a known"
    )


# --- what a batch holds decides, not its name -------------------------------------------------------------------------


def test_batches_under_names_of_the_other_form_are_read_by_what_they_hold(originals, form, expected, tmp_path):
    other = ".npz" if form == "pickle" else ""
    for number in BATCHES:
        shutil.copy(batch(originals, number), tmp_path / f"train_data_batch_{number}{other}")
    make(tmp_path, tmp_path / "out")
    assert np.array_equal(open_store(tmp_path / "out").array, expected)


def test_a_pickle_that_gzip_has_packed_is_read(originals, form, expected, tmp_path):
    if form == "npz":
        pytest.skip("an npz file is packed already")
    for number in BATCHES:
        packed = gzip.compress(batch(originals, number).read_bytes(), 1)
        (tmp_path / f"train_data_batch_{number}").write_bytes(packed)
    make(tmp_path, tmp_path / "out")
    assert np.array_equal(open_store(tmp_path / "out").array, expected)


@pytest.mark.quick
def test_official_batches_under_wrong_names_are_named(originals, form, tmp_path, monkeypatch):
    if form == "pickle":
        return  # their checksums are not known
    sums = [hashlib.md5(batch(originals, number).read_bytes()).hexdigest() for number in BATCHES]
    monkeypatch.setattr(imagenet32_sources, "MD5", sums[1:] + sums[:1])
    sentence = refused(originals, tmp_path, checksums=True)
    assert (
        "train_data_batch_1.npz is the official train_data_batch_10.npz, by its checksum; give it that name" in sentence
    )
    monkeypatch.setattr(imagenet32_sources, "MD5", ["0" * 32] * 10)
    monkeypatch.setattr(imagenet32_sources, "VALIDATION_MD5", sums[0])
    sentence = refused(originals, tmp_path, checksums=True)
    assert "train_data_batch_1.npz is the official val_data.npz, by its checksum; get" in sentence


def test_a_store_is_called_imagenet_where_the_checksums_were_compared(originals, form, tmp_path, monkeypatch):
    make(originals, tmp_path / "unchecked")
    unchecked = "images in the form of ImageNet 32 x 32, not compared with a published checksum"
    assert open_store(tmp_path / "unchecked").title == unchecked
    sums = [hashlib.md5(batch(originals, number).read_bytes()).hexdigest() for number in BATCHES]
    monkeypatch.setattr(imagenet32_sources, "MD5", sums)
    make(originals, tmp_path / "checked", checksums=True)
    assert open_store(tmp_path / "checked").title == ("ImageNet 32 x 32" if form == "npz" else unchecked)


def test_a_conversion_without_checksums_is_not_gone_on_with_as_one_with_them(originals, form, tmp_path, monkeypatch):
    """Else batches that were never compared would be called ImageNet."""

    def stop(done, total, what):
        if done == 3:
            raise Stop

    if form == "pickle":
        return
    sums = [hashlib.md5(batch(originals, number).read_bytes()).hexdigest() for number in BATCHES]
    monkeypatch.setattr(imagenet32_sources, "MD5", sums)
    with pytest.raises(Stop):
        make(originals, tmp_path, report=stop)
    seen = []
    make(originals, tmp_path, checksums=True, report=lambda done, total, what: seen.append(done))
    assert seen[0] == 0 and open_store(tmp_path).title == "ImageNet 32 x 32"


# --- npz batches that mean harm ---------------------------------------------------------------------------------------


def npy(header, content=b""):
    """The bytes of an npy file with this text as its header."""
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


LABELS = b"{'descr': '<i8', 'fortran_order': False, 'shape': (%d,), }\n"
DATA = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1, 3072), }\n"
GOOD = {"data.npy": npy(DATA, bytes(3072)), "labels.npy": npy(LABELS % 1, (1).to_bytes(8, "little"))}


def zipped(path, files, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def encrypted(path):
    """The flag of encryption, one bit, set in both headers of every entry."""
    zipped(path, GOOD)
    content = bytearray(path.read_bytes())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(signature)
        while start >= 0:
            content[start + place] |= 1
            start = content.find(signature, start + 1)
    path.write_bytes(content)


BAD_BATCHES = {
    "encrypted": (encrypted, "is encrypted or damaged"),
    "packed by bzip2": (
        lambda path: zipped(path, GOOD, zipfile.ZIP_BZIP2),
        "is compressed with a method that NumPy does not use",
    ),
    "a header without its end": ({"data.npy": npy(b"{'descr': '|u1', 'shape': (1")}, "its header is invalid"),
    "a header that is no Python": ({"data.npy": npy(b"{'descr' = $\x00")}, "its header is invalid"),
    "a header that would be run": ({"data.npy": npy(b"[__import__('os').system('touch ran')]")}, "is invalid"),
    "a header of 64 kB": ({"data.npy": npy(b"(" * 65_535)}, "its header ends early or is far too long"),
    "a type of objects": ({"data.npy": npy(DATA.replace(b"|u1", b"|O"))}, "holds Python objects"),
    "another type": ({"data.npy": npy(DATA.replace(b"|u1", b"<f9"))}, "its header is invalid"),
    "10^12 labels": ({"labels.npy": npy(LABELS % 10**12)}, "labels in .* has 8,000,000,000,000 bytes or more"),
    "10^6 labels that are not there": ({"labels.npy": npy(LABELS % 10**6)}, "an array ends early"),
    "10^14 images": (
        {"data.npy": npy(DATA.replace(b"(1,", b"(100000000000000,"))},
        "data in .* has 307,200,000,0",
    ),
    "images that are not there": ({"data.npy": npy(DATA, bytes(3071))}, "an array ends early"),
    "a byte too much": ({"data.npy": npy(DATA, bytes(3073))}, "an array has bytes after its last element"),
    "a label too much": ({"labels.npy": GOOD["labels.npy"] + b"\0"}, "an array has bytes after its last element"),
    "many dimensions": ({"data.npy": npy(DATA.replace(b"3072", b"3072" + b", 1" * 70))}, "it has 72 dimensions"),
    "no labels": ({"labels.npy": None}, "does not hold labels"),
    "not even a header": ({"data.npy": b"\x93NUM"}, "is not an npy array: it begins with 93 4e 55 4d"),
}


@pytest.mark.quick
@pytest.mark.parametrize(("what", "words"), BAD_BATCHES.values(), ids=BAD_BATCHES)
def test_an_npz_batch_that_makes_no_sense_is_named_in_a_sentence(tmp_path, monkeypatch, what, words):
    """Each of these was a traceback, or gigabytes of memory for a few bytes."""
    monkeypatch.chdir(tmp_path)
    for number in BATCHES:
        path = tmp_path / f"train_data_batch_{number}.npz"
        if callable(what):
            what(path)
        else:
            zipped(path, {name: content for name, content in {**GOOD, **what}.items() if content is not None})
    sentence = refused(tmp_path, tmp_path / "out")
    assert re.search(words, sentence) and "train_data_batch_1.npz" in sentence
    assert not (tmp_path / "ran").exists()


@pytest.mark.quick
@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([[1], [2, 3]], "should hold labels, whole numbers, but holds a list of 2"),
        ("12", "but holds something of type str"),
        ([10**12], "holds 1000000000000 to 1000000000000"),
        ([2**70], "should hold labels, whole numbers, but holds a list of 1"),
        (np.array([2**64 - 1], np.uint64), "holds 18446744073709551615"),
    ],
)
def test_labels_of_a_pickle_that_make_no_sense_are_named(tmp_path, labels, words):
    for number in BATCHES:
        content = {"data": np.zeros((1, 3072), np.uint8), "labels": labels}
        (tmp_path / f"train_data_batch_{number}").write_bytes(pickle.dumps(content))
    assert words in refused(tmp_path, tmp_path / "out")


# --- a store is what it was made as -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store of two classes, made once."""
    folder = tmp_path_factory.mktemp("made")
    for class_number in range(2):
        images = np.random.default_rng(class_number).integers(0, 256, (700, 3, 32, 32), dtype=np.uint8)
        np.save(folder / f"{class_number}.npy", images)
    convert(folder, folder / "store", num_classes=2)
    return folder / "store"


@pytest.fixture
def store(made, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(made, tmp_path / "store")


def flip(path, place, bit=0):
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


@pytest.mark.quick
@pytest.mark.parametrize("place", [128, 128 + 599 * 3072, 128 + 699 * 3072, 128 + 700 * 3072, -1])
def test_one_bit_of_any_image_is_found_when_the_store_is_verified_and_when_the_class_is_read(store, place):
    """Images to train on, too, for which the mean stood before."""
    flip(store / "images.npy", place)
    damaged = 0 if 0 <= place < 128 + 700 * 3072 else 1
    words = rf"images.npy is damaged: class {damaged} .* has changed since the store was made; delete it"
    with pytest.raises(DataError, match=words):
        open_store(store).verify()
    opened = open_store(store)
    opened.inputs(1 - damaged)
    for look in (opened.images, opened.inputs):
        with pytest.raises(DataError, match=words):
            look(damaged)


@pytest.mark.quick
def test_the_mean_is_that_with_which_the_store_was_made(store):
    good = np.load(store / "mean.npy")
    shifted = good.copy()
    shifted[1, 2, 3] += 2**-20
    for mean in (shifted, good.astype(np.float64), good[:1], np.full_like(good, np.nan), good.astype(">f4")):
        np.save(store / "mean.npy", mean)
        with pytest.raises(
            DataError, match=r"mean.npy has changed since the store was made; delete images.npy and make it with"
        ):
            open_store(store)


@pytest.mark.quick
def test_the_fingerprint_covers_every_byte_and_not_the_place(made, tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    images = np.array(open_store(made).array)
    images[1, 3, 0, 0, 0] ^= 1  # an image to train on
    for class_number in range(2):
        np.save(folder / f"{class_number}.npy", images[class_number])
    convert(folder, folder / "store", num_classes=2)
    fingerprint = open_store(made).fingerprint
    assert re.fullmatch("[0-9a-f]{12}", fingerprint)
    assert open_store(shutil.copytree(made, tmp_path / "copy")).fingerprint == fingerprint
    assert open_store(folder / "store").fingerprint != fingerprint


@pytest.mark.quick
def test_a_store_is_verified_once_a_command_and_not_by_its_workers(store, monkeypatch):
    looked = []
    images = imagenet32.Store.images
    monkeypatch.setattr(
        imagenet32.Store, "images", lambda store, number: (looked.append(number), images(store, number))
    )
    monkeypatch.setattr(imagenet32, "_verified", set())
    with monkeypatch.context() as patched:
        patched.setattr(multiprocessing, "parent_process", lambda: object())
        open_store(store).verify()
    assert looked == []
    open_store(store).verify()
    open_store(store).verify()
    assert looked == [0, 1]
    os.utime(store / "images.npy", ns=(1, 1))  # it may be another file by now
    open_store(store).verify()
    assert looked == [0, 1, 0, 1]


@pytest.mark.quick
@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[" * 100_000,
        b"\xff",
        b"[]",
        b"7",
        b'{"is_official": true, "mean": "0", "classes": ["0"]}',
        b'{"is_official": 1, "mean": 7, "classes": {}}',
    ],
)
def test_a_description_that_makes_no_sense_is_named(store, text):
    (store / "store.json").write_bytes(text)
    with pytest.raises(
        DataError, match=r"store.json (is damaged|does not describe .*); delete images.npy and make it with"
    ):
        open_store(store)


@pytest.mark.quick
def test_a_store_of_an_earlier_version_is_named(store):
    (store / "store.json").unlink()
    with pytest.raises(DataError, match="store.json is missing beside .*: the store is incomplete or of an earlier"):
        open_store(store)
