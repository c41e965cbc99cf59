"""Reading CIFAR-100: small files in the two official layouts, packed and unpacked, and every way to break one."""

import gzip
import hashlib
import io
import os
import pickle
import struct
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from minilop.data import DataError, cifar100, identify_cifar100, incremental_split, read_cifar100, tar_files

pytestmark = pytest.mark.quick

PARTS = {"train": 5, "test": 3}  # records
FORMS = ["cifar-100-binary", "cifar-100-python"]


def content(part):
    """Images (N, 3, 32, 32) and fine labels (N,), others for each part; the last label is the largest there is."""
    rng = np.random.default_rng(PARTS[part])
    images = rng.integers(0, 256, (PARTS[part], 3, 32, 32), dtype=np.uint8)
    labels = rng.integers(0, 100, PARTS[part])
    labels[-1] = 99
    return images, labels


def records(images, labels):
    """The bytes of a .bin file, written down image by image; coarse labels, which nobody reads, are above 99 here."""
    return b"".join(
        bytes([200, label]) + image[0].tobytes() + image[1].tobytes() + image[2].tobytes()
        for image, label in zip(images, labels, strict=True)
    )


def python_2_pickle(data, fine_labels):
    """The bytes that Python 2 and the NumPy of its time wrote, opcode by opcode: strings of 8-bit characters."""

    def string(text):
        return b"T" + struct.pack("<i", len(text)) + text

    def integer(number):
        return b"J" + struct.pack("<i", number)

    dtype = b"cnumpy\ndtype\n(" + string(b"u1") + b"K\x00K\x01tR(K\x03" + string(b"|") + b"NNN"
    dtype += integer(-1) * 2 + b"K\x00tb"
    state = b"(K\x01(" + integer(data.shape[0]) + integer(data.shape[1]) + b"t" + dtype + b"\x89"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + string(b"b") + b"tR"
    array += state + string(data.tobytes()) + b"tb"
    numbers = b"]" + b"".join(integer(int(label)) + b"a" for label in fine_labels)
    items = {b"data": array, b"batch_label": string(b"training batch 1 of 1"), b"fine_labels": numbers}
    items |= {b"coarse_labels": b"]", b"filenames": b"]" + string(b"bos_taurus_s_000507.png") + b"a"}
    return b"\x80\x02}" + b"".join(string(key) + value + b"s" for key, value in items.items()) + b"."


def members(form):
    """What an archive of this form holds: names and contents."""
    if form == "cifar-100-binary":
        names = {"train": "train.bin", "test": "test.bin", "names": "fine_label_names.txt"}
        files = {part: records(*content(part)) for part in PARTS}
    else:
        names = {"train": "train", "test": "test", "names": "file.txt~"}
        files = {}
        for part in PARTS:
            images, labels = content(part)
            files[part] = python_2_pickle(images.reshape(-1, 3072), labels)
    files["names"] = b"apple\naquarium_fish\n"
    return {f"{form}/{names[key]}": file for key, file in files.items()}


def unpacked(folder, form):
    for name, file in members(form).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(file)
    return folder


def tar(files, prefix=""):
    """The bytes of an archive with these files, behind an entry for their folder, as in the official ones."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        folder = tarfile.TarInfo(prefix + next(iter(files)).split("/")[0])
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, file in files.items():
            entry = tarfile.TarInfo(prefix + name)
            entry.size = len(file)
            archive.addfile(entry, io.BytesIO(file))
    return out.getvalue()


def packed(folder, form, files=None, prefix=""):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{form}.tar.gz"
    path.write_bytes(gzip.compress(tar(files or members(form), prefix)))
    return path


WAYS = {"unpacked": unpacked, "packed": packed}


def complaint(call, *arguments):
    """The one sentence of the DataError with which the call must end."""
    with pytest.raises(DataError) as caught:
        call(*arguments)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".")
    return sentence


@pytest.mark.parametrize("place", [".", "cifar100"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("part", PARTS)
def test_both_forms_are_read_packed_and_unpacked(tmp_path, part, way, form, place):
    WAYS[way](tmp_path / place, form)
    before = sorted(tmp_path.rglob("*"))
    images, labels = read_cifar100(tmp_path, part)
    expected_images, expected_labels = content(part)
    assert np.array_equal(images, expected_images) and np.array_equal(labels, expected_labels)
    assert images.dtype == labels.dtype == np.uint8
    assert images.flags.c_contiguous
    assert sorted(tmp_path.rglob("*")) == before  # nothing was unpacked


def test_planes_are_red_green_blue_and_each_goes_row_by_row(tmp_path):
    """A record by hand: coarse label 7, fine label 42, and one pixel of each colour that is not black."""
    record = bytearray(2 + 3072)
    record[:2] = [7, 42]
    record[2 + 3] = 10  # red, row 0, column 3
    record[2 + 1024 + 32 * 5] = 20  # green, row 5, column 0
    record[2 + 2048 + 32 * 31 + 31] = 30  # blue, the last pixel
    (tmp_path / "cifar-100-binary").mkdir()
    (tmp_path / "cifar-100-binary" / "train.bin").write_bytes(record)
    images, labels = read_cifar100(str(tmp_path), "train")
    assert labels.tolist() == [42]
    assert [images[0, 0, 0, 3], images[0, 1, 5, 0], images[0, 2, 31, 31]] == [10, 20, 30]
    assert images.sum() == 60


def test_the_binary_form_comes_first_and_the_most_specific_folder(tmp_path):
    for number, (folder, form) in enumerate(
        [(".", "cifar-100-python"), ("cifar100", "cifar-100-python"), (".", "cifar-100-binary")]
    ):
        images = np.full((1, 3, 32, 32), number, np.uint8)
        file = records(images, [0]) if form.endswith("binary") else python_2_pickle(images.reshape(1, 3072), [0])
        packed(tmp_path / folder, form, {f"{form}/train" + ".bin" * form.endswith("binary"): file})
        assert read_cifar100(tmp_path, "train")[0].max() == number  # each is preferred to those before it


def test_an_archive_packed_from_a_dot_is_read(tmp_path):
    packed(tmp_path, "cifar-100-binary", prefix="./")
    assert len(read_cifar100(tmp_path, "train")[1]) == PARTS["train"]


def test_a_missing_set_is_answered_with_the_command_and_the_way_by_hand(tmp_path):
    sentence = complaint(read_cifar100, tmp_path / "data", "train")
    for words in (
        f"download it with python -m minilop.data fetch cifar100 --out {tmp_path / 'data'}, or get",
        "cifar-100-binary.tar.gz (168,513,733 bytes, md5 03b5dce01913d631647c71ecec9e9cb8)",
        "https://www.cs.toronto.edu/~kriz/",
        f"into {tmp_path / 'data' / 'cifar100'}.",
    ):
        assert words in sentence
    assert not (tmp_path / "data").exists()


def test_another_part_is_answered_with_the_two_there_are(tmp_path):
    assert "choose train or test" in complaint(read_cifar100, tmp_path, "validation")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("file", "words"),
    [
        (records(*content("train"))[:-1], "has 15,369 bytes, which is not a multiple of 3,074"),
        (records(*content("train")) + b"\0", "has 15,371 bytes, which is not a multiple of"),
        (b"", "has 0 bytes, which is not a multiple of"),
        (records(content("train")[0], [0, 99, 100, 0, 255]), "but label 2 (counted from 0) is 100"),
    ],
)
def test_a_binary_file_that_cannot_be_right_is_named(tmp_path, way, file, words):
    name = "cifar-100-binary/train.bin"
    if way == "packed":
        named = f"{name} in {packed(tmp_path, 'cifar-100-binary', {name: file})}"
    else:
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(file)
        named = str(tmp_path / name)
    sentence = complaint(read_cifar100, tmp_path, "train")
    assert sentence.startswith(named) and words in sentence and "download it again" in sentence


IMAGES = np.zeros((2, 3072), np.uint8)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("unpickled", "words"),
    [
        ([1, 2], "does not hold a dictionary with data and fine_labels"),
        (
            {"data": IMAGES, "labels": [1, 2]},
            "does not hold a dictionary with data and fine_labels",
        ),  # that is CIFAR-10
        ({"data": IMAGES[:, :-1], "fine_labels": [1, 2]}, "N x 3072 bytes but holds 2 x 3071 of type uint8"),
        ({"data": IMAGES.astype(float), "fine_labels": [1, 2]}, "but holds 2 x 3072 of type float64"),
        ({"data": [[1], [1, 2]], "fine_labels": [1, 2]}, "but holds a list of 2; get"),
        ({"data": 7, "fine_labels": [1, 2]}, "but holds something of type int; get"),
        ({"data": IMAGES[:0], "fine_labels": []}, "but holds 0 x 3072"),
        (
            {"data": IMAGES, "fine_labels": [1]},
            "should hold 2 fine_labels, one whole number per image, but holds a",
        ),
        ({"data": IMAGES, "fine_labels": np.array([1.0, 2.0])}, "but holds 2 of type float64; get"),
        ({"data": IMAGES, "fine_labels": [[1], [1, 2]]}, "should hold 2 fine_labels"),
        ({"data": IMAGES, "fine_labels": [1, 2**70]}, "should hold 2 fine_labels"),
        ({"data": IMAGES, "fine_labels": ["a" * 60_000, "b"]}, "but holds a list of 2; get"),
        ({"data": IMAGES, "fine_labels": [99, 100]}, "but label 1 (counted from 0) is 100"),
        ({"data": IMAGES, "fine_labels": [-1, 1]}, "but label 0 (counted from 0) is -1"),
        ({"data": IMAGES, "fine_labels": [1, 300]}, "but label 1 (counted from 0) is 300"),
    ],
)
def test_a_pickle_that_holds_something_else_is_named(tmp_path, way, unpickled, words):
    name, file = "cifar-100-python/test", pickle.dumps(unpickled)
    if way == "packed":
        packed(tmp_path, "cifar-100-python", {name: file})
    else:
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(file)
    sentence = complaint(read_cifar100, tmp_path, "test")
    assert name in sentence and words in sentence
    assert "get cifar-100-binary.tar.gz instead" in sentence or "download it again" in sentence


class Malicious:
    """Unpickled by Python's own reader, it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_a_pickle_in_an_archive_that_asks_for_a_command_is_refused_and_not_run(tmp_path):
    file = pickle.dumps({"data": IMAGES, "fine_labels": [1, 2], "more": Malicious(tmp_path / "ran")}, protocol=2)
    path = packed(tmp_path, "cifar-100-python", {"cifar-100-python/train": file})
    sentence = complaint(read_cifar100, tmp_path, "train")
    assert sentence.startswith(f"cifar-100-python/train in {path} asks for posix.mkdir" if os.name == "posix" else "")
    assert not (tmp_path / "ran").exists()
    pickle.loads(file)  # the test's own test: Python's reader does run it
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.3, 0.9, -8, -1])
def test_a_truncated_archive_is_named_wherever_it_ends(tmp_path, form, kept):
    """Also behind the part that is asked for: only at the end gzip can tell that all of it was right."""
    path = packed(tmp_path, form)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if kept >= 0 else int(kept)])
    sentence = complaint(read_cifar100, tmp_path, "train")
    assert str(path) in sentence and "download it again" in sentence
    assert "is a damaged gzip file: it ends early" in sentence or kept == 0.0


def test_a_wrong_byte_in_an_archive_is_found(tmp_path):
    """In stored, not compressed, data nothing but the checksum tells."""
    path = packed(tmp_path, "cifar-100-binary")
    whole = bytearray(gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=0))
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    found = "is a damaged gzip file: its checksum or its size is wrong"
    assert f"{path} {found}" in complaint(read_cifar100, tmp_path, "train")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (b"<html>not found</html>", "a web page instead of a file; download it again"),
        (gzip.compress(b"<html>" * 1000), "a web page instead of a file; download it again"),
        (b"PK\x03\x04" + bytes(600), "a zip archive; unpack it"),
        (gzip.compress(b"no tar" * 1000), "not a tar archive; download it again"),
        (b"", "not a tar archive; download it again"),
    ],
    ids=["page", "packed page", "zip", "packed text", "nothing"],
)
def test_what_is_no_archive_is_named(tmp_path, file, words):
    path = tmp_path / "cifar-100-binary.tar.gz"
    path.write_bytes(file)
    assert complaint(read_cifar100, tmp_path, "train") == f"{path} is {words}."


def test_an_archive_without_the_part_is_named(tmp_path):
    files = members("cifar-100-binary")
    del files["cifar-100-binary/test.bin"]
    path = packed(tmp_path, "cifar-100-binary", files)
    assert len(read_cifar100(tmp_path, "train")[1]) == PARTS["train"]
    assert f"{path} does not contain cifar-100-binary/test.bin; get the off" in complaint(
        read_cifar100, tmp_path, "test"
    )


def test_names_that_lead_out_of_the_folder_are_not_followed(tmp_path):
    """A link under the official name, and files that would lie elsewhere: neither is read or written."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        link = tarfile.TarInfo("cifar-100-binary/train.bin")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        archive.addfile(link)
        for name in ("../escaped", str(tmp_path / "absolute")):
            entry = tarfile.TarInfo(name)
            entry.size = 3
            archive.addfile(entry, io.BytesIO(b"bad"))
    (tmp_path / "secret").write_bytes(records(*content("train")))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cifar-100-binary.tar.gz").write_bytes(gzip.compress(out.getvalue()))
    assert "does not contain cifar-100-binary/train.bin" in complaint(read_cifar100, tmp_path / "data", "train")
    assert {path.name for path in tmp_path.rglob("*")} == {"data", "cifar-100-binary.tar.gz", "secret"}


def test_an_archive_that_unpacks_without_end_is_left(tmp_path, monkeypatch):
    """The limit is 256 MiB; here it is 100 kB, passed by an entry's announcement and by zeros behind the last entry."""
    monkeypatch.setattr(cifar100, "LARGEST", 100_000)
    monkeypatch.setattr(tar_files, "PIECE", 1000)
    path = packed(tmp_path, "cifar-100-binary", {"cifar-100-binary/train.bin": bytes(99_999)})
    assert f"{path} has 101," in complaint(read_cifar100, tmp_path, "train")
    path.write_bytes(gzip.compress(tar(members("cifar-100-binary")) + bytes(10**6)))
    assert f"{path} has 100," in complaint(read_cifar100, tmp_path, "train")


# --- what gzip has packed, or has not ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("suffix", "is_packed"), [(".tar", False), (".tar.gz", False), (".tar", True)])
def test_an_archive_that_a_browser_unpacked_is_read_whatever_its_name(tmp_path, form, suffix, is_packed):
    content_of_file = tar(members(form))
    (tmp_path / f"{form}{suffix}").write_bytes(gzip.compress(content_of_file) if is_packed else content_of_file)
    assert np.array_equal(read_cifar100(tmp_path, "test")[0], content("test")[0])


@pytest.mark.parametrize("form", FORMS)
def test_an_unpacked_archive_that_is_cut_is_named_wherever_it_ends(tmp_path, form):
    """Without gzip's checksum the archive's own blocks must tell: the last one is of zeros."""
    whole = tar(members(form))
    end = len(whole.rstrip(b"\0"))
    for length in (100, 512, 1000, 512 * 7, end // 2, end):
        (tmp_path / f"{form}.tar").write_bytes(whole[:length])
        sentence = complaint(read_cifar100, tmp_path, "train")
        assert "is a damaged tar archive: it ends" in sentence or "is not a tar archive" in sentence
        assert sentence.endswith("; download it again.")


# --- archives that mean harm ------------------------------------------------------------------------------------------


def header(name, size, kind=b"0"):
    """A tar header with this size, 12 bytes, and the right sum."""
    block = bytearray(512)
    block[: len(name)], block[124:136], block[156:157], block[257:263] = name, size, kind, b"ustar\0"
    block[148:156] = b"%06o\0 " % (sum(block) + 8 * 32)
    return bytes(block)


OCTAL = b"%011o\0"
NAME = b"cifar-100-binary/train.bin"
MINUS_512 = b"\xff" * 10 + b"\xfe\x00"


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        ([header(b"a", b"\xff" * 12)], "not a tar archive"),  # -1
        ([header(b"a", OCTAL % 0), header(b"a", MINUS_512)], "a header is invalid"),  # Python's reader never ends
        ([header(b"a", b"\x80" + b"\xff" * 11)], "not a tar archive"),  # 2^88 bytes
        ([header(b"a", b"-0000000001\0")], "not a tar archive"),
        ([header(b"a", OCTAL % (8**11 - 1), b"L")], "but at most 268,435,456 are expected"),  # 8 GB of a long name
        (
            [header(b"a", OCTAL % 200_000_000, b"x")],
            "it ends within a file",
        ),  # 200 MB of attributes
        ([header(NAME, OCTAL % 200_000_000)], "it ends within cifar-100-binary/train.bin"),
        ([header(b"a", OCTAL % 0, b"L")] * 2000, "it ends early"),  # names of names of names
        ([header(b"a", OCTAL % 0, b"x")] * 2000, "it ends early"),
        ([header(b"a", OCTAL % 0, b"g")] * 2000 + [bytes(1024)], "does not contain cifar-100-binary/train.bin"),
    ],
)
def test_an_archive_that_means_harm_is_refused_at_once(tmp_path, blocks, words):
    """Sizes below zero, sizes of gigabytes, headers that lead to headers; no size is believed before it is there."""
    path = tmp_path / "cifar-100-binary.tar.gz"
    path.write_bytes(gzip.compress(b"".join(blocks)))
    tracemalloc.start()
    try:
        sentence = complaint(read_cifar100, tmp_path, "train")
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()
    assert sentence.startswith(str(path)) and words in sentence


@pytest.mark.parametrize("dialect", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_of_all_common_dialects_are_read(tmp_path, dialect):
    """With long names, times and owners of others beside the file, which need extended headers."""
    out, file = io.BytesIO(), records(*content("train"))
    with tarfile.open(fileobj=out, mode="w", format=dialect) as archive:
        for name, data in (("folder/" + 90 * "n", b"other"), ("./cifar-100-binary/train.bin", file)):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.uname = len(data), 1.5, "bj\u00f6rn"
            archive.addfile(entry, io.BytesIO(data))
    (tmp_path / "cifar-100-binary.tar").write_bytes(out.getvalue())
    assert len(read_cifar100(tmp_path, "train")[1]) == PARTS["train"]


# --- a set is known by its checksums, never by its file names ---------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", WAYS)
def test_official_files_are_called_cifar_100_and_others_are_not(tmp_path, monkeypatch, form, way):
    WAYS[way](tmp_path, form)
    assert identify_cifar100(tmp_path, "train")[0] == "images that are not the official files of CIFAR-100"
    member = f"{form}/train" + ".bin" * form.endswith("binary")
    monkeypatch.setitem(cifar100.MD5, member, hashlib.md5(members(form)[member]).hexdigest())
    assert identify_cifar100(tmp_path, "train")[0] == "CIFAR-100"


def test_the_official_archive_vouches_for_what_it_holds(tmp_path, monkeypatch):
    checksum = hashlib.md5(packed(tmp_path, "cifar-100-binary").read_bytes()).hexdigest()
    monkeypatch.setattr(cifar100, "ARCHIVE", cifar100.ARCHIVE._replace(md5=checksum))
    assert identify_cifar100(tmp_path, "test")[0] == "CIFAR-100"


def test_the_other_part_in_the_place_of_one_is_refused_by_name(tmp_path, monkeypatch):
    """Else the network would be tested on what it was trained on."""
    unpacked(tmp_path, "cifar-100-binary")
    train, test = (tmp_path / "cifar-100-binary" / f"{part}.bin" for part in PARTS)
    monkeypatch.setitem(cifar100.MD5, "cifar-100-binary/train.bin", hashlib.md5(train.read_bytes()).hexdigest())
    test.write_bytes(train.read_bytes())
    assert complaint(read_cifar100, tmp_path, "test") == (
        f"{test} holds the official cifar-100-binary/train.bin, but cifar-100-binary/test.bin is expected; move it "
        f"away and download the official files with python -m minilop.data fetch cifar100 --out {tmp_path}."
    )


def test_a_file_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    path = packed(tmp_path, "cifar-100-binary")

    def forbidden(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)
    sentence = complaint(read_cifar100, tmp_path, "train")
    assert sentence == f"{path} cannot be read (Permission denied); check that it is a file you may read."


def test_official_facts_are_well_formed():
    assert len(cifar100.ARCHIVE.md5) == 32 and int(cifar100.ARCHIVE.md5, 16)
    assert cifar100.RECORD * 50_000 == 153_700_000  # bytes of the official train.bin
    assert cifar100.RECORD * 50_000 < cifar100.LARGEST


# --- the split --------------------------------------------------------------------------------------------------------


def test_the_first_images_of_a_class_in_the_order_of_the_file_are_for_validation():
    labels = [1, 0, 1, 1, 0, 0, 1, 0]
    training, validation = incremental_split(labels, num_validation=1)
    assert validation.tolist() == [[1], [0]]
    assert training.tolist() == [[4, 5, 7], [2, 3, 6]]


def test_official_sizes_give_450_and_50_of_each_class_and_nothing_twice():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(100, dtype=np.uint8), 500))
    training, validation = incremental_split(labels)
    assert training.shape == (100, 450) and validation.shape == (100, 50)
    assert np.array_equal(np.sort(np.concatenate([training, validation], axis=None)), np.arange(50_000))
    for class_number in (0, 57, 99):  # the definition, class by class
        places = np.flatnonzero(labels == class_number)
        assert np.array_equal(validation[class_number], places[:50])
        assert np.array_equal(training[class_number], places[50:])


def test_without_validation_all_images_are_for_training():
    training, validation = incremental_split([1, 0, 0, 1], num_validation=0)
    assert training.tolist() == [[1, 2], [0, 3]] and validation.shape == (2, 0)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.repeat([0, 1], 50), "Class 0 (counted from 0) has 50 images, but 51 are needed"),
        (np.repeat([0, 1], [500, 499]), "Class 1 (counted from 0) has 499 images, but 500 are needed"),
        (np.repeat([0, 2], 500), "Class 1 (counted from 0) has 0 images, but 500 are needed"),
        (np.zeros(0, np.uint8), "Class 0 (counted from 0) has 0 images, but 51 are needed"),
    ],
)
def test_a_class_with_too_few_images_is_named(labels, words):
    sentence = complaint(incremental_split, labels)
    assert words in sentence and "50 of them for validation; provide the complete training set" in sentence
