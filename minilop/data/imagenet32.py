"""A store of ImageNet 32 x 32: one file of images in which a class is a slice (`imagenet32_conversion` makes it).

    images.npy    (1000, 700, 3, 32, 32), the first 700 images of each class in the order of the source; bytes, or
                  single-precision floats if the images of the source are centered
    mean.npy      (3, 32, 32), the mean of bytes / 255 over the first 600 images of each class, the training images
    store.json    whether the source was official, and the SHA-256 digests of the classes and of the mean

The inputs of a network are bytes / 255 - mean, on the scale of the files prepared by Dohare et al. (2024), which are
not divided by a standard deviation. The fingerprint of a store is that of `store.json`, so it depends on every byte of
the store. The digest of a class is checked when the class is first read, and `Store.verify` checks all classes before
the first run of a command.
"""

import hashlib
import json
import multiprocessing
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minilop.data.errors import DataError
from minilop.data.imagenet32_sources import IMAGE_SHAPE
from minilop.data.npy_files import map_array

NUM_IMAGES = 700  # per class, as in the paper; the smallest class has 732

TITLES = {  # by whether the checksums of the source were compared with the published ones
    True: "ImageNet 32 x 32",
    False: "images in the form of ImageNet 32 x 32, not compared with a published checksum",
}

_verified: set[tuple[Any, ...]] = set()  # stores whose digests this process has checked


class Store:
    """An open store; its images are read from the disk when they are used.

    array        (num_classes, 700, 3, 32, 32)
    mean         (3, 32, 32), of bytes / 255, or of floats unchanged
    title        one of `TITLES`
    fingerprint  twelve hexadecimal digits that depend on every byte of the store
    """

    def __init__(self, folder: Path, array: np.ndarray, mean: npt.NDArray[np.float32], is_official: bool, text: bytes):
        self.folder, self.array, self.mean = folder, array, mean
        self.title = TITLES[is_official]
        self.fingerprint = hashlib.sha256(text).hexdigest()[:12]
        self._digests: list[str] = json.loads(text)["classes"]
        self._checked: set[int] = set()  # classes whose digest is right

    @property
    def num_classes(self) -> int:
        return len(self.array)

    def images(self, class_number: int) -> np.ndarray:
        """(700, 3, 32, 32) as stored: 600 training images, then 100 test images; a read-only view of the file.

        Raises DataError if they have changed since the store was made.
        """
        images = self.array[class_number]
        if class_number not in self._checked:
            if digest_of(images) != self._digests[class_number]:
                raise DataError(
                    f"{self.folder / 'images.npy'} is damaged: class {class_number} (counted from 0) has changed since "
                    f"the store was made; delete it and {_make(self.folder)}"
                )
            self._checked.add(class_number)
        return images

    def inputs(self, class_number: int) -> npt.NDArray[np.float32]:
        """(700, 3, 32, 32) in memory, centered: bytes / 255 - mean, or floats unchanged. Raises as `images` does."""
        images = np.array(self.images(class_number), np.float32)
        return images / np.float32(255) - self.mean if self.array.dtype == np.uint8 else images

    def verify(self) -> None:
        """Check the digests of all classes, once per command. Raises DataError if a class has changed.

        Worker processes skip this: their parent has done it, and they check each class that they read.
        """
        status = (self.folder / "images.npy").stat()
        key = (str(self.folder.resolve()), status.st_ino, status.st_size, status.st_mtime_ns, self.fingerprint)
        if key not in _verified and multiprocessing.parent_process() is None:
            for class_number in range(self.num_classes):
                self.images(class_number)
            _verified.add(key)


def open_store(folder: str | os.PathLike[str]) -> Store:
    """Open the store that `convert` made in `folder`. Raises DataError if it is missing or damaged."""
    folder = Path(folder)
    path = folder / "images.npy"
    if not os.path.exists(path):  # unlike Path.exists, False if the folder is not readable
        raise DataError(f"There is no {path}, the store of ImageNet 32x32; {_make(folder)}")
    try:
        array, mean, text = map_array(path), map_array(folder / "mean.npy"), (folder / "store.json").read_bytes()
        described = json.loads(text)
        is_official, classes, of_mean = described["is_official"], described["classes"], described["mean"]
    except FileNotFoundError as problem:
        raise DataError(
            f"{problem.filename} is missing beside {path}: the store is incomplete or of an earlier version; delete "
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
            f"{path} is not a store of ImageNet 32x32 ({shape} of type {array.dtype}); move it away and {_make(folder)}"
        )
    digests = isinstance(classes, list) and len(classes) == len(array) and all(map(_is_sha256, classes))
    if not digests or not _is_sha256(of_mean) or not isinstance(is_official, bool):
        raise DataError(f"{folder / 'store.json'} does not describe {path}; delete {path.name} and {_make(folder)}")
    if mean.shape != IMAGE_SHAPE or mean.dtype != np.float32 or digest_of(mean) != of_mean:
        raise DataError(
            f"{folder / 'mean.npy'} has changed since the store was made; delete {path.name} and {_make(folder)}"
        )
    return Store(folder, array, np.array(mean), is_official, text)


def _make(folder: Path) -> str:
    return (
        f"make it with python -m minilop.data imagenet32 SOURCE --out {folder}, with the files of "
        "https://image-net.org/data/downsample/ in SOURCE."
    )


def digest_of(array: np.ndarray) -> str:
    """The SHA-256 of the elements in C order, in hexadecimal digits."""
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).hexdigest()


def _is_sha256(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None
