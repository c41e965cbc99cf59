"""Reads the three forms of ImageNet 32 x 32, piece by piece.

    npz       train_data_batch_1.npz ... train_data_batch_10.npz     P. Chrabaszcz, I. Loshchilov, F. Hutter, "A
    pickle    train_data_batch_1     ... train_data_batch_10         downsampled variant of ImageNet", 2017
    classes   0.npy ... 999.npy, one per class                       the files prepared by Dohare et al. (2024)

A batch holds `data` (N, 3072), bytes: the red, green and blue planes of each image, row by row; and `labels`, N numbers
from 1 to 1000. A class file holds images (N, 3, 32, 32): bytes, or floats, which are bytes / 255 minus the mean image.
The content of a batch, not its name, decides whether it is read as npz or as a pickle.
"""

import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt

from minilop.data.contents import read_exactly, unreadable
from minilop.data.errors import DataError
from minilop.data.npy_files import Header, map_array, read_header
from minilop.data.official_files import md5_of_file
from minilop.data.tar_files import too_large
from minilop.data.unpickling import describe, unpickle_arrays, whole_numbers

ADDRESS = "https://image-net.org/data/downsample/Imagenet32_train_npz.zip (or Imagenet32_train.zip; sign in first)"
IMAGE_SHAPE = (3, 32, 32)
PIXELS = math.prod(IMAGE_SHAPE)
PIXELS_OF_16 = PIXELS // 4  # of the 16 x 16 variant, whose files have the same names
BATCHES = 10
PIECE = 2**12  # images read at a time: 13 MB of bytes
FOLDERS = ("", "classes", "Imagenet32_train_npz", "Imagenet32_train")  # relative to the user's folder
MD5 = (  # of train_data_batch_1.npz ... train_data_batch_10.npz
    "464fde20de6eb44c28cc1a8c11544bb1", "bdb56e71882c3fd91619d789d5dd7c79", "83ff36d76ea26867491a281ea6e1d03b",
    "98ff184fe109d5c2a0f6da63843880c7", "62b8803e13c3e6de9498da7aaaae57c8", "e0b06665f890b029f1d8d0a0db26e119",
    "9731f469aac1622477813c132c5a847a", "60aed934b9d26b7ee83a1a83bdcfbe0f", "b96328e6affd718660c2561a6fe8c14c",
    "1dc618d544c554220dd118f72975470c",
)  # fmt: skip
VALIDATION_MD5 = "a8c04a389f2649841fb7a01720da9dd9"  # of val_data.npz
MOST_BYTES = 2**29  # of the images of a batch; the official batches have 394 MB
MOST_LABEL_BYTES = 2**24

Piece = tuple[np.ndarray, npt.NDArray[np.intp]]  # images (n, 3, 32, 32), bytes or floats, and their classes (n,) from 0


class Source(NamedTuple):
    form: str  # "npz", "pickle" or "classes"
    files: tuple[Path, ...]  # in the order in which they are read


def find_source(folder: Path, num_classes: int) -> Source:
    """The files of the first form found in `folder`. Raises DataError if there is none, or if files are missing."""
    forms = {
        "npz": [f"train_data_batch_{batch}.npz" for batch in range(1, BATCHES + 1)],
        "pickle": [f"train_data_batch_{batch}" for batch in range(1, BATCHES + 1)],
        "classes": [f"{class_number}.npy" for class_number in range(num_classes)],
    }
    for form, names in forms.items():
        for place in FOLDERS:
            files = tuple(folder / place / name for name in names)
            missing = [file.name for file in files if not os.path.isfile(file)]
            if not missing:
                return Source(form, files)
            if len(missing) < len(files):
                more = f" and {len(missing) - 3} more" * (len(missing) > 3)
                raise DataError(
                    f"{folder / place} holds {len(files) - len(missing)} of the {len(files)} files {names[0]} ... "
                    f"{names[-1]}; put the others beside them: {', '.join(missing[:3])}{more}."
                )
    raise DataError(
        f"{folder} does not hold ImageNet 32x32 in a known form; give the folder that contains "
        f"train_data_batch_1.npz ... _10.npz or train_data_batch_1 ... _10 (unpacked from {ADDRESS}), "
        f"or classes/0.npy ... {num_classes - 1}.npy."
    )


def is_npz(path: Path) -> bool:
    """Whether the file begins like an npz file. Raises DataError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(2) == b"PK"
    except OSError as problem:
        raise unreadable(path, problem) from None


def pixel_type(source: Source) -> np.dtype:
    """The type in which to store the pixels: bytes, or single precision for class files of floats."""
    if source.form != "classes" or _class_images(source.files[0]).dtype == np.uint8:
        return np.dtype(np.uint8)
    return np.dtype(np.float32)


def read_pieces(source: Source, number: int, num_classes: int, checksums: bool) -> Iterator[Piece]:
    """The images and classes in the file with this index, in the order of the file.

    checksums   whether to compare the checksum of an npz batch; the checksums of the other forms are not published

    Raises DataError if the file is damaged or not of the expected form.
    """
    path = source.files[number]
    if source.form == "classes":
        images = _class_images(path)  # (N, 3, 32, 32)
        classes = np.full(len(images), number)
    elif is_npz(path):
        yield from _npz_pieces(path, num_classes, MD5[number] if checksums else None)
        return
    else:
        images, classes = _unpickled(path, num_classes)
    for start in range(0, len(images), PIECE):
        yield images[start : start + PIECE], classes[start : start + PIECE]


def _unpickled(path: Path, num_classes: int) -> Piece:
    content = unpickle_arrays(path)
    if not isinstance(content, dict) or not {"data", "labels"} <= content.keys():
        raise DataError(f"{path} does not hold a dictionary with data and labels; {_again(path)}")
    data, labels = content["data"], whole_numbers(content["labels"])
    if not isinstance(data, np.ndarray):
        raise DataError(f"{path} should hold data of N x {PIXELS} bytes but holds {describe(data)}; {_again(path)}")
    _check_data(path, data.shape, data.dtype)
    if labels is None:
        found = describe(content["labels"])
        raise DataError(f"{path} should hold labels, whole numbers, but holds {found}; {_again(path)}")
    return data.reshape(-1, *IMAGE_SHAPE), _classes(path, labels, len(data), num_classes)


def _npz_pieces(path: Path, num_classes: int, md5: str | None) -> Iterator[Piece]:
    """The images of an npz batch, without loading the whole batch (400 MB) into memory."""
    with _blaming(path), path.open("rb") as file, zipfile.ZipFile(file) as archive:
        header, data = _open_entry(archive, "data", path, MOST_BYTES)
        _check_data(path, header.shape, header.dtype)
        if header.fortran_order:
            raise DataError(f"{path} holds data column by column, not image by image; {_again(path)}")
        if md5:
            _check_md5(path, md5)
        label_header, entry = _open_entry(archive, "labels", path, MOST_LABEL_BYTES)
        labels = np.frombuffer(_read_entry(entry, label_header.num_bytes, path), label_header.dtype)
        classes = _classes(path, labels.reshape(label_header.shape), header.shape[0], num_classes)
        _check_end(entry, path)
        for start in range(0, header.shape[0], PIECE):
            num_images = min(PIECE, header.shape[0] - start)
            content = _read_entry(data, num_images * PIXELS, path)
            images = np.frombuffer(content, np.uint8).reshape(num_images, *IMAGE_SHAPE)
            yield images, classes[start : start + num_images]
        _check_end(data, path)


def _open_entry(archive: zipfile.ZipFile, name: str, path: Path, most_bytes: int) -> tuple[Header, IO[bytes]]:
    """The header of an array in an npz file, and the open entry, positioned at the first element."""
    if f"{name}.npy" not in archive.namelist():
        raise DataError(f"{path} does not hold {name}; {_again(path)}")
    info = archive.getinfo(f"{name}.npy")
    if info.flag_bits & 1:
        raise DataError(f"{path} is encrypted or damaged; {_again(path)}")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{path} is compressed with a method that NumPy does not use, or damaged; {_again(path)}")
    entry = archive.open(info)
    header = read_header(entry, f"{name} in {path}")
    if header.num_bytes > most_bytes:
        raise too_large(f"{name} in {path}", header.num_bytes, most_bytes)
    return header, entry


def _read_entry(entry: IO[bytes], size: int, path: Path) -> bytearray:
    content = read_exactly(entry, size)
    if len(content) < size:
        raise DataError(f"{path} is damaged or truncated: an array ends early; {_again(path)}")
    return content


def _check_end(entry: IO[bytes], path: Path) -> None:
    if entry.read(1):  # reading to the end makes zipfile check the checksum
        raise DataError(f"{path} is damaged: an array has bytes after its last element; {_again(path)}")


def _class_images(path: Path) -> np.ndarray:
    try:
        images = map_array(path)  # never unpickles
    except OSError as problem:
        raise unreadable(path, problem) from None
    if images.ndim != 4 or images.shape[1:] != IMAGE_SHAPE or images.dtype not in (np.uint8, np.float32, np.float64):
        shape = " x ".join(map(str, images.shape))
        raise DataError(
            f"{path} should hold images, N x 3 x 32 x 32 bytes or floats, but holds {shape} of type {images.dtype}; "
            "provide the prepared file."
        )
    return images


def _check_data(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if shape[1:] == (PIXELS_OF_16,):
        raise DataError(
            f"{path} is a batch of the 16 x 16 variant ({PIXELS_OF_16} numbers per image instead of {PIXELS}); "
            f"get the batch of the same name of ImageNet 32x32 from {ADDRESS}."
        )
    if shape[1:] != (PIXELS,) or dtype != np.uint8:
        found = " x ".join(map(str, shape)) or "one number"
        raise DataError(
            f"{path} should hold data of N x {PIXELS} bytes but holds {found} of type {dtype}; {_again(path)}"
        )


def _check_md5(path: Path, expected: str) -> None:
    found = md5_of_file(path)
    if found in MD5 and found != expected:
        number = MD5.index(found) + 1
        raise DataError(f"{path} is the official train_data_batch_{number}.npz, by its checksum; give it that name.")
    if found == VALIDATION_MD5:
        raise DataError(f"{path} is the official val_data.npz, by its checksum; {_again(path)}")
    if found != expected:
        raise DataError(
            f"{path} has the md5 checksum {found}, but the official file has {expected}; download it again, "
            "or use --no-checksums to read other files of this form."
        )


def _classes(path: Path, labels: np.ndarray, num_images: int, num_classes: int) -> npt.NDArray[np.intp]:
    """The classes (N,), from 0, of labels from 1."""
    if labels.shape != (num_images,) or labels.dtype.kind not in "iu":
        raise DataError(
            f"{path} should hold {num_images:,} labels, one per image, but holds "
            f"{' x '.join(map(str, labels.shape)) or 'one number'} of type {labels.dtype}; {_again(path)}"
        )
    if num_images and not (labels.min() >= 1 and labels.max() <= num_classes):
        raise DataError(
            f"{path} should hold labels from 1 to {num_classes} but holds {labels.min()} to {labels.max()}; "
            + _again(path)
        )
    return labels.astype(np.intp) - 1


def _again(path: Path) -> str:
    return f"get {path.name} again from {ADDRESS}."


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    """Turn the errors of zipfile into a DataError that names the file."""
    try:
        yield
    except DataError:
        raise
    except OSError as problem:
        raise unreadable(path, problem) from None
    except Exception as problem:  # noqa: BLE001 - damage surfaces as almost any error of zipfile
        is_checksum = isinstance(problem, zipfile.BadZipFile) and "CRC" in str(problem)
        finding = "a checksum in it is wrong" if is_checksum else "it is not a complete npz file"
        raise DataError(f"{path} is damaged or truncated: {finding}; {_again(path)}") from None
