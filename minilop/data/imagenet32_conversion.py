"""Makes a store of ImageNet 32 x 32 (see `imagenet32`) from the files that users have (see `imagenet32_sources`).

The conversion can be interrupted at any time and continues with the file that it was reading. Until it is complete, the
images are in `images.npy.part`, and `images.npy.part.json` lists the files of the source that have been converted.
"""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from minilop.data.atomic_files import atomic_write, check_room, remove_unfinished, sync, sync_folder
from minilop.data.errors import DataError, blaming
from minilop.data.imagenet32 import NUM_IMAGES, digest_of, open_store
from minilop.data.imagenet32_sources import IMAGE_SHAPE, PIXELS, Source, find_source, is_npz, pixel_type, read_pieces
from minilop.data.locking import lock
from minilop.data.npy_files import map_array

NUM_CLASSES = 1000
NUM_TRAINING_IMAGES = 600  # the first images of a class

Report = Callable[[int, int, str], None]  # number of files converted, number of files, and the current task


def convert(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    checksums: bool = True,
    report: Report = lambda done, total, what: None,
    num_classes: int = NUM_CLASSES,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Make a store in the folder `out` from the official files or from the prepared files.

    checksums    whether to compare the checksums of npz batches with the published ones
    report       called before each file of the source, before the mean is computed and at the end
    num_classes  smaller in tests
    say          called with a sentence if the file system has no locks

    Leaves a complete store unchanged, and removes the partial files of an earlier conversion beside it. Raises
    DataError, without making a store, if the source or the folder cannot be used.
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
    with blaming(final.parent):
        final.parent.mkdir(parents=True, exist_ok=True)
        with part.open("r+b" if part.exists() else "w+b") as file:
            is_locked = lock(file, part, say)
            if final.exists():  # another command has made it since the check above
                _clean(part)
                return
            for name in ("images.npy.part.json", "mean.npy", "store.json"):
                remove_unfinished(final.parent, name, is_locked)
            size_before = os.fstat(file.fileno()).st_size
            first_byte = _write_header(file, shape, dtype)
            size = first_byte + math.prod(shape) * dtype.itemsize
            progress = _Progress(part, files, shape, dtype, is_official, is_full_size=size_before == size)
            _reserve(file, size)
            for number, path in list(enumerate(files.files))[len(progress.done) :]:
                report(number, total, path.name)
                for images, classes in read_pieces(files, number, num_classes, checksums):
                    _put(file, first_byte, _pixels(images, dtype, path), classes, progress.counts)
                if files.form == "classes":
                    _check_count(progress.counts, number, path)
                sync(file)  # the images must be on the disk before the list says so
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
    """Write the files beside the images: the mean and the digests."""
    mean = _mean(array)  # (3, 32, 32)
    described = {
        "is_official": is_official,
        "mean": digest_of(mean),
        "classes": [digest_of(images) for images in array],
    }
    atomic_write(final.with_name("mean.npy"), lambda target: np.save(target, mean, allow_pickle=False))
    atomic_write(final.with_name("store.json"), lambda target: target.write(json.dumps(described).encode()))


def _clean(part: Path) -> None:
    """Remove the partial files beside a complete store."""
    for path in (part, part.with_name(f"{part.name}.json")):
        try:
            path.unlink(missing_ok=True)
        except OSError:  # a store in a read-only folder is still usable
            pass


class _Progress:
    """The files of the source that have been converted, and the number of images of each class, in a JSON file.

    The conversion starts again if that file is missing or damaged, if the files of the source have changed, or if the
    part does not have its full size. The JSON file is then removed first, since it would no longer be true.
    """

    def __init__(
        self, part: Path, source: Source, shape: tuple[int, ...], dtype: np.dtype, is_official: bool, is_full_size: bool
    ) -> None:
        self.path = part.with_name(f"{part.name}.json")
        self.what = {"form": source.form, "shape": list(shape), "dtype": dtype.name, "is_official": is_official}
        self.done: list[list[Any]] = []
        self.counts = np.zeros(shape[0], np.int64)
        try:
            saved = json.loads(self.path.read_text())
            done = [_version(path) for path in source.files[: len(saved["done"])]]
            counts = np.array(saved["counts"], np.int64)
            fits = counts.shape == self.counts.shape and ((0 <= counts) & (counts <= NUM_IMAGES)).all()
            if is_full_size and fits and saved["what"] == self.what and saved["done"] == done:
                self.counts, self.done = counts, done
        except (FileNotFoundError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            pass
        if not self.done:
            self.path.unlink(missing_ok=True)
            sync_folder(self.path.parent)

    def add(self, path: Path) -> None:
        self.done.append(_version(path))
        text = json.dumps({"what": self.what, "done": self.done, "counts": self.counts.tolist()})
        atomic_write(self.path, lambda target: target.write(text.encode()))


def _version(path: Path) -> list[Any]:
    status = path.stat()
    return [path.name, status.st_size, status.st_mtime_ns]


def _write_header(file: BinaryIO, shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Write the header of an npy file. Returns its length in bytes, which is the position of the first image."""
    descr = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.tell()


def _reserve(file: BinaryIO, size: int) -> None:
    """Give the part its full size. Raises OSError if the disk is too small."""
    size_before = os.fstat(file.fileno()).st_size
    check_room(Path(file.name).parent, size - size_before, f"{size / 1e9:.1f} GB are needed")
    file.truncate(size)


def _put(
    file: BinaryIO, first_byte: int, images: np.ndarray, classes: npt.NDArray[np.intp], counts: npt.NDArray[np.int64]
) -> None:
    """Append images (n, 3, 32, 32) to their classes, up to 700 per class.

    A memory map would be simpler, but then a full disk kills the process.
    """
    order = np.argsort(classes, kind="stable")  # keeps the order of the source within a class
    present, starts = np.unique(classes[order], return_index=True)
    for class_number, members in zip(present, np.split(order, starts[1:]), strict=True):
        members = members[: NUM_IMAGES - counts[class_number]]
        position = class_number * NUM_IMAGES + counts[class_number]  # in images
        file.seek(first_byte + int(position) * PIXELS * images.itemsize)
        file.write(images[members].tobytes())
        counts[class_number] += len(members)


def _pixels(images: np.ndarray, dtype: np.dtype, path: Path) -> np.ndarray:
    """The images in the type of the store, which is that of the first file."""
    if (images.dtype == np.uint8) != (dtype == np.uint8):
        raise DataError(f"{path} holds {images.dtype}, but the first class holds {dtype}; provide files of one type.")
    if dtype != np.uint8 and not (abs(images) <= 1).all():
        raise DataError(
            f"{path} holds floats larger than 1 or not finite, but bytes / 255 - mean are expected; "
            "provide the prepared file, or bytes."
        )
    return images.astype(dtype, copy=False)


def _check_count(counts: npt.NDArray[np.int64], class_number: int, path: Path) -> None:
    if counts[class_number] < NUM_IMAGES:
        raise DataError(
            f"{path} has only {counts[class_number]} images of class {class_number} (counted from 0), but {NUM_IMAGES} "
            "are needed; provide the complete training set."
        )


def _mean(array: np.ndarray) -> npt.NDArray[np.float32]:
    """The mean training image (3, 32, 32) of all classes; the sum of bytes is exact."""
    total = np.zeros(IMAGE_SHAPE, np.int64 if array.dtype == np.uint8 else np.float64)
    for images in array:
        total += images[:NUM_TRAINING_IMAGES].sum(axis=0, dtype=total.dtype)
    scale = 255 if array.dtype == np.uint8 else 1
    return (total / (len(array) * NUM_TRAINING_IMAGES * scale)).astype(np.float32)
