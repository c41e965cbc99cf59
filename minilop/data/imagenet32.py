"""ImageNet 32 x 32 as one file in which a class is a slice, made once from the files that users have.

    images.npy    (1000, 700, 3, 32, 32), the first 700 images of every class in the order of the source; bytes, or
                  single floats where the source's images are centred already
    mean.npy      (3, 32, 32), the mean over the first 600 images of every class, those to train on; of bytes / 255
    store.json    what the images are, and the SHA-256 of each class and of the mean

A network's inputs are bytes / 255 - mean, on the scale of the files that Dohare et al. (2024) prepared: not divided by
a deviation. Making the store can be interrupted at any moment and goes on with the file of the source it was at. Until
all is done the images are in `images.npy.part`, and `images.npy.part.json` says which files of the source are in.

A store's fingerprint is that of `store.json`, so of every byte in it. A class is compared with its digest when it is
first looked at, and all of them once before a command's first run (`Store.verify`).
"""

import hashlib
import json
import math
import multiprocessing
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from minilop.data.atomic_files import atomic_write, check_room, remove_unfinished, sync, sync_folder
from minilop.data.errors import DataError, remedy
from minilop.data.imagenet32_sources import IMAGE_SHAPE, PIXELS, Source, find_source, is_npz, pixel_type, read_pieces
from minilop.data.locking import lock
from minilop.data.npy_files import map_array

NUM_CLASSES = 1000
NUM_IMAGES = 700  # of a class, as in the paper; the smallest class has 732
NUM_TRAINING_IMAGES = 600  # the first of them

Report = Callable[[int, int, str], None]  # files of the source that are in, files in all, and what comes now


TITLES = {  # by whether the source's checksums were compared with the published ones
    True: "ImageNet 32 x 32",
    False: "images in the form of ImageNet 32 x 32, not compared with a published checksum",
}

_verified: set[tuple[Any, ...]] = set()  # stores that this process has compared with their digests in full


class Store:
    """An opened store; its images are read from the disk when they are looked at.

    array        (num_classes, 700, 3, 32, 32)
    mean         (3, 32, 32), of bytes / 255, or of floats as they are
    title        what the images are: ImageNet 32 x 32, or that no published checksum says so
    fingerprint  twelve hexadecimal digits of the digest of all that is in the store
    """

    def __init__(self, folder: Path, array: np.ndarray, mean: npt.NDArray[np.float32], is_official: bool, text: bytes):
        self.folder, self.array, self.mean = folder, array, mean
        self.title = TITLES[is_official]
        self.fingerprint = hashlib.sha256(text).hexdigest()[:12]
        self._digests: list[str] = json.loads(text)["classes"]
        self._seen: set[int] = set()  # classes that were compared with their digest

    @property
    def num_classes(self) -> int:
        return len(self.array)

    def images(self, class_number: int) -> np.ndarray:
        """(700, 3, 32, 32) as stored, 600 to train on, then 100 to test on; a view of the file, not to be written.

        Raises DataError where they are not those that the store was made with.
        """
        images = self.array[class_number]
        if class_number not in self._seen:
            if _digest(images) != self._digests[class_number]:
                raise DataError(
                    f"{self.folder / 'images.npy'} is damaged: the images of class {class_number} (counted from 0) are "
                    f"not those that it was made with; delete it and {_make(self.folder)}"
                )
            self._seen.add(class_number)
        return images

    def inputs(self, class_number: int) -> npt.NDArray[np.float32]:
        """(700, 3, 32, 32) in memory, centred: bytes / 255 - mean, and floats as they are. Raises as `images`."""
        images = np.array(self.images(class_number), np.float32)
        return images / np.float32(255) - self.mean if self.array.dtype == np.uint8 else images

    def verify(self) -> None:
        """Compare every class with its digest, once a command. Raises DataError where one differs.

        A worker process leaves that to the process that has started it, since it compares each class that it reads.
        """
        status = (self.folder / "images.npy").stat()
        key = (str(self.folder.resolve()), status.st_ino, status.st_size, status.st_mtime_ns, self.fingerprint)
        if key not in _verified and multiprocessing.parent_process() is None:
            for class_number in range(self.num_classes):
                self.images(class_number)
            _verified.add(key)


def open_store(folder: str | os.PathLike[str]) -> Store:
    """The store that `convert` made in `folder`. Raises DataError where there is none, or a damaged one."""
    folder = Path(folder)
    path = folder / "images.npy"
    if not os.path.exists(path):  # unlike Path.exists, False where the folder may not be looked into
        raise DataError(f"There is no {path}, the store of ImageNet 32x32; {_make(folder)}")
    try:
        array, mean, text = map_array(path), map_array(folder / "mean.npy"), (folder / "store.json").read_bytes()
        described = json.loads(text)
        is_official, classes, of_mean = described["is_official"], described["classes"], described["mean"]
    except FileNotFoundError as problem:
        raise DataError(
            f"{problem.filename} is missing beside {path}, which is half a store or one of an earlier version; delete "
            f"{path.name} and {_make(folder)}"
        ) from None
    except OSError as problem:
        raise DataError(f"{path} or a file beside it cannot be read ({problem.strerror}); make it readable.") from None
    except DataError as damage:
        raise DataError(f"{str(damage).rpartition(';')[0]}; delete {path.name} and {_make(folder)}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DataError(f"{folder / 'store.json'} is damaged; delete {path.name} and {_make(folder)}") from None
    if array.shape[1:] != (NUM_IMAGES, *IMAGE_SHAPE) or array.dtype not in (np.uint8, np.float32):
        shape = " x ".join(map(str, array.shape))
        raise DataError(
            f"{path} holds no ImageNet 32x32 ({shape} of type {array.dtype}); move it away and {_make(folder)}"
        )
    digests = isinstance(classes, list) and len(classes) == len(array) and all(map(_is_digest, classes))
    if not digests or not _is_digest(of_mean) or not isinstance(is_official, bool):
        raise DataError(f"{folder / 'store.json'} does not describe {path}; delete {path.name} and {_make(folder)}")
    if mean.shape != IMAGE_SHAPE or mean.dtype != np.float32 or _digest(mean) != of_mean:
        raise DataError(
            f"{folder / 'mean.npy'} is not the mean with which the store was made; delete {path.name} and "
            f"{_make(folder)}"
        )
    return Store(folder, array, np.array(mean), is_official, text)


def _make(folder: Path) -> str:
    return (
        f"make it by python -m minilop.data imagenet32 SOURCE --out {folder}, with the files of "
        "https://image-net.org/data/downsample/ in SOURCE."
    )


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).hexdigest()


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def convert(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    checksums: bool = True,
    report: Report = lambda done, total, what: None,
    num_classes: int = NUM_CLASSES,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Make a store in the folder `out` from the official files or the prepared ones (see `imagenet32_sources`).

    checksums    compare npz batches with the official ones
    report       called before each file of the source, before the mean is computed and at the end
    num_classes  fewer for tests
    say          told where the file system has no locks

    A store that is done is left as it is; what a killed conversion left beside it is removed. Raises DataError where
    the source or the folder cannot be used, and leaves no store under its final name then.
    """
    final = Path(out) / "images.npy"
    part = final.with_name("images.npy.part")
    if os.path.exists(final):
        open_store(out)
        _clean(part)
        return
    files = find_source(Path(source), num_classes)
    is_official = checksums and all(is_npz(path) for path in files.files)
    total, shape, dtype = len(files.files), (num_classes, NUM_IMAGES, *IMAGE_SHAPE), pixel_type(files)
    with _blaming(final.parent):
        final.parent.mkdir(parents=True, exist_ok=True)
        with part.open("r+b" if part.exists() else "w+b") as file:
            is_locked = lock(file, part, say)
            if final.exists():  # by another command, between our two looks
                _clean(part)
                return
            for name in ("images.npy.part.json", "mean.npy", "store.json"):
                remove_unfinished(final.parent, name, is_locked)
            held = os.fstat(file.fileno()).st_size
            first_byte = _write_header(file, shape, dtype)
            size = first_byte + math.prod(shape) * dtype.itemsize
            progress = _Progress(part, files, shape, dtype, is_official, is_whole=held == size)
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
            _finish(map_array(part), final, is_official)
            os.replace(part, final)
            sync_folder(final.parent)
            progress.path.unlink(missing_ok=True)
    report(total, total, "")


def _finish(array: np.ndarray, final: Path, is_official: bool) -> None:
    """Write what stands beside the images: their mean, and the digests."""
    mean = _mean(array)  # (3, 32, 32)
    described = {"is_official": is_official, "mean": _digest(mean), "classes": [_digest(images) for images in array]}
    atomic_write(final.with_name("mean.npy"), lambda target: np.save(target, mean, allow_pickle=False))
    atomic_write(final.with_name("store.json"), lambda target: target.write(json.dumps(described).encode()))


def _clean(part: Path) -> None:
    """Remove what is of no use beside a finished store: the line of progress, and a part that nobody writes."""
    for path in (part, part.with_name(f"{part.name}.json")):
        try:
            path.unlink(missing_ok=True)
        except OSError:  # a folder that may only be read holds a good store all the same
            pass


class _Progress:
    """Which files of the source are in the part, and how many images of each class; kept in a line of JSON beside it.

    It begins anew where that line is missing or damaged, where the source's files are no longer what they were, or
    where the part has not its full size. The line is then removed before anything is written that would belie it.
    """

    def __init__(
        self, part: Path, source: Source, shape: tuple[int, ...], dtype: np.dtype, is_official: bool, is_whole: bool
    ) -> None:
        self.path = part.with_name(f"{part.name}.json")
        self.what = {"form": source.form, "shape": list(shape), "dtype": dtype.name, "is_official": is_official}
        self.done: list[list[Any]] = []
        self.counts = np.zeros(shape[0], np.int64)
        try:
            saved = json.loads(self.path.read_text())
            done = [_fingerprint(path) for path in source.files[: len(saved["done"])]]
            counts = np.array(saved["counts"], np.int64)
            fits = counts.shape == self.counts.shape and ((0 <= counts) & (counts <= NUM_IMAGES)).all()
            if is_whole and fits and saved["what"] == self.what and saved["done"] == done:
                self.counts, self.done = counts, done
        except (FileNotFoundError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            pass
        if not self.done:
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
    check_room(Path(file.name).parent, size - held, f"{size / 1e9:.1f} GB are needed")
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
            f"{folder} cannot be written ({reason}); {remedy(problem)}, and the same command goes on where this one "
            "stopped."
        ) from None
