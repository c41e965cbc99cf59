"""ImageNet 32 x 32 as one file in which a class is a slice, made once from the files that users have.

    images.npy    (1000, 700, 3, 32, 32), the first 700 images of every class in the order of the source; bytes, or
                  single floats where the source's images are centred already
    mean.npy      (3, 32, 32), the mean over the first 600 images of every class, those to train on; of bytes / 255

A network's inputs are bytes / 255 - mean, on the scale of the files that Dohare et al. (2024) prepared: not divided by
a deviation. Making the store can be interrupted at any moment and goes on with the file of the source it was at. Until
all is done the images are in `images.npy.part`, and `images.npy.part.json` says which files of the source are in.
"""

import errno
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from minilop.data.atomic_files import atomic_write, sync, sync_folder
from minilop.data.errors import DataError
from minilop.data.imagenet32_sources import IMAGE_SHAPE, PIXELS, Source, find_source, pixel_type, read_pieces
from minilop.data.locking import lock

NUM_CLASSES = 1000
NUM_IMAGES = 700  # of a class, as in the paper; the smallest class has 732
NUM_TRAINING_IMAGES = 600  # the first of them

Report = Callable[[int, int, str], None]  # files of the source that are in, files in all, and what comes now


class Store(NamedTuple):
    """An opened store; its images are read from the disk when they are looked at."""

    array: np.ndarray  # (num_classes, 700, 3, 32, 32)
    mean: npt.NDArray[np.float32]  # (3, 32, 32), of bytes / 255, or of floats as they are

    @property
    def num_classes(self) -> int:
        return len(self.array)

    def images(self, class_number: int) -> np.ndarray:
        """(700, 3, 32, 32) as stored, 600 to train on, then 100 to test on; a view of the file, not to be written."""
        return self.array[class_number]

    def inputs(self, class_number: int) -> npt.NDArray[np.float32]:
        """(700, 3, 32, 32) in memory, centred: bytes / 255 - mean, and floats as they are."""
        images = np.array(self.images(class_number), np.float32)
        return images / np.float32(255) - self.mean if self.array.dtype == np.uint8 else images


def open_store(folder: str | os.PathLike[str]) -> Store:
    """The store that `convert` made in `folder`. Raises DataError where there is none, or a damaged one."""
    path = Path(folder) / "images.npy"
    remedy = (
        f"make it by python -m minilop.data imagenet32 SOURCE --out {folder}, with the files of "
        "https://image-net.org/data/downsample/ in SOURCE."
    )
    if not path.exists():
        raise DataError(f"There is no {path}, the store of ImageNet 32x32; {remedy}")
    try:
        array = np.lib.format.open_memmap(path, mode="r")
        mean = np.load(path.with_name("mean.npy"), allow_pickle=False)
    except (OSError, ValueError, EOFError) as problem:
        raise DataError(f"{path} or mean.npy beside it is damaged ({problem}); delete it and {remedy}") from None
    if array.shape[1:] != (NUM_IMAGES, *IMAGE_SHAPE) or array.dtype not in (np.uint8, np.float32):
        shape = " x ".join(map(str, array.shape))
        raise DataError(f"{path} holds no ImageNet 32x32 ({shape} of type {array.dtype}); move it away and {remedy}")
    return Store(array, mean)


def convert(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    checksums: bool = True,
    report: Report = lambda done, total, what: None,
    num_classes: int = NUM_CLASSES,
) -> None:
    """Make a store in the folder `out` from the official files or the prepared ones (see `imagenet32_sources`).

    checksums    compare npz batches with the official ones
    report       called before each file of the source, before the mean is computed and at the end
    num_classes  fewer for tests

    A store that is done is left as it is. Raises DataError where the source or the folder cannot be used, and leaves
    no store under its final name then.
    """
    final = Path(out) / "images.npy"
    if final.exists():
        open_store(out)
        return
    files = find_source(Path(source), num_classes)
    total, shape, dtype = len(files.files), (num_classes, NUM_IMAGES, *IMAGE_SHAPE), pixel_type(files)
    part = final.with_name("images.npy.part")
    with _blaming(final.parent):
        final.parent.mkdir(parents=True, exist_ok=True)
        with part.open("r+b" if part.exists() else "w+b") as file:
            lock(file, part)
            if final.exists():  # by another command, between our two looks
                return
            held = os.fstat(file.fileno()).st_size
            first_byte = _write_header(file, shape, dtype)
            size = first_byte + math.prod(shape) * dtype.itemsize
            progress = _Progress(part, files, shape, dtype, is_whole=held == size)
            _take_room(file, size)
            for number, path in list(enumerate(files.files))[len(progress.done) :]:
                report(number, total, path.name)
                for images, classes in read_pieces(files, number, num_classes, checksums):
                    _put(file, first_byte, _pixels(images, dtype, path), classes, progress.counts)
                if files.form == "classes":
                    _check_count(progress.counts, number, path)
                sync(file)  # the images reach the disk before the line that says so
                progress.add(path)
            report(total, total, "the mean image")
            for class_number in range(num_classes):
                _check_count(progress.counts, class_number, Path(source))
            mean = _mean(np.lib.format.open_memmap(part, mode="r"))  # (3, 32, 32)
            atomic_write(final.with_name("mean.npy"), lambda target: np.save(target, mean, allow_pickle=False))
            os.replace(part, final)
            sync_folder(final.parent)
            progress.path.unlink(missing_ok=True)
    report(total, total, "")


class _Progress:
    """Which files of the source are in the part, and how many images of each class; kept in a line of JSON beside it.

    It begins anew where that line is missing or damaged, where the source's files are no longer what they were, or
    where the part has not its full size. The line is then removed before anything is written that would belie it.
    """

    def __init__(self, part: Path, source: Source, shape: tuple[int, ...], dtype: np.dtype, is_whole: bool) -> None:
        self.path = part.with_name(f"{part.name}.json")
        self.what = {"form": source.form, "shape": list(shape), "dtype": dtype.name}
        self.done: list[list[Any]] = []
        self.counts = np.zeros(shape[0], np.int64)
        try:
            saved = json.loads(self.path.read_text())
            done = [_fingerprint(path) for path in source.files[: len(saved["done"])]]
            if is_whole and saved["what"] == self.what and saved["done"] == done:
                self.counts[:] = saved["counts"]
                self.done = done
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass
        if not self.done:
            self.counts[:] = 0
            self.path.unlink(missing_ok=True)
            sync_folder(self.path.parent)

    def add(self, path: Path) -> None:
        self.done.append(_fingerprint(path))
        text = json.dumps({"what": self.what, "done": self.done, "counts": self.counts.tolist()})
        atomic_write(self.path, lambda target: target.write(text.encode()))


def _fingerprint(path: Path) -> list[Any]:
    status = path.stat()
    return [path.name, status.st_size, status.st_mtime_ns]


def _write_header(file: BinaryIO, shape: tuple[int, ...], dtype: np.dtype) -> int:
    """That of an npy file; gives its length, the place of the first image."""
    descr = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.tell()


def _take_room(file: BinaryIO, size: int) -> None:
    """Give the part its full size, and say so at once where the disk has not that much."""
    held = os.fstat(file.fileno()).st_size
    if held < size and shutil.disk_usage(os.path.dirname(file.name)).free < size - held:
        raise OSError(errno.ENOSPC, f"{size / 1e9:.1f} GB are needed")
    file.truncate(size)


def _put(
    file: BinaryIO, first_byte: int, images: np.ndarray, classes: npt.NDArray[np.intp], counts: npt.NDArray[np.int64]
) -> None:
    """Write images (n, 3, 32, 32) behind those of their classes that are there already, as long as there is room.

    By `write`, not through a memory map: there a full disk would kill the program.
    """
    order = np.argsort(classes, kind="stable")  # the source's order stays within a class
    present, starts = np.unique(classes[order], return_index=True)
    for class_number, members in zip(present, np.split(order, starts[1:]), strict=True):
        members = members[: NUM_IMAGES - counts[class_number]]
        place = class_number * NUM_IMAGES + counts[class_number]  # in images
        file.seek(first_byte + int(place) * PIXELS * images.itemsize)
        file.write(images[members].tobytes())
        counts[class_number] += len(members)


def _pixels(images: np.ndarray, dtype: np.dtype, path: Path) -> np.ndarray:
    """The images in the store's type, which the first file of the source has decided."""
    if (images.dtype == np.uint8) != (dtype == np.uint8):
        raise DataError(f"{path} holds {images.dtype} where the first class holds {dtype}; bring files of one kind.")
    if dtype != np.uint8 and not (abs(images) <= 1).all():
        raise DataError(
            f"{path} holds floats beyond 1 or that are no numbers, where bytes / 255 - mean are expected; "
            "bring the prepared file, or bytes."
        )
    return images.astype(dtype, copy=False)


def _check_count(counts: npt.NDArray[np.int64], class_number: int, path: Path) -> None:
    if counts[class_number] < NUM_IMAGES:
        raise DataError(
            f"{path} has only {counts[class_number]} images of class {class_number} (counted from 0) where "
            f"{NUM_IMAGES} are needed; bring the complete training set."
        )


def _mean(array: np.ndarray) -> npt.NDArray[np.float32]:
    """Over the training images of every class; the bytes' sum is exact."""
    total = np.zeros(IMAGE_SHAPE, np.int64 if array.dtype == np.uint8 else np.float64)
    for images in array:
        total += images[:NUM_TRAINING_IMAGES].sum(axis=0, dtype=total.dtype)
    scale = 255 if array.dtype == np.uint8 else 1
    return (total / (len(array) * NUM_TRAINING_IMAGES * scale)).astype(np.float32)


@contextmanager
def _blaming(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        reason = problem.strerror or problem
        raise DataError(
            f"{folder} cannot be written ({reason}); make room or choose another --out. The same command goes on "
            "where this one stopped."
        ) from None
