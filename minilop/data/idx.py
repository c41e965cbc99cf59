"""Reader of IDX files, the format of MNIST and Fashion-MNIST.

    bytes 0-3        00 00, the type of an element (08: unsigned byte), the number of dimensions
    next 4 per axis  its length, unsigned, most significant byte first
    the rest         the elements in C order

The format is described by Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits" (1998);
Fashion-MNIST (H. Xiao, K. Rasul, R. Vollgraf, 2017, arXiv:1708.07747) has the same files with other pictures, and so
have Kuzushiji-MNIST, EMNIST and QMNIST, so only checksums distinguish them. Sizes and checksums below are those of the
uncompressed files, since compressing again changes a .gz file but not its content.
"""

import math
import os
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt

from minilop.data.contents import open_unpacked, other_format, read_exactly
from minilop.data.errors import DataError
from minilop.data.official_files import OfficialFile, fetch_command, md5, md5_of_file, unofficial

LARGEST = 2**29  # bytes; a header that announces more than 512 MiB is taken for damage
MOST_DIMENSIONS = 8  # likewise; images have three, and NumPy allows 32 or 64


class Source(NamedTuple):
    title: str
    addresses: tuple[str, ...]
    places: tuple[str, ...]  # absolute or relative to the user's folder; the most specific first
    images: OfficialFile  # the sizes and checksums are those of the uncompressed files
    labels: OfficialFile


SOURCES = {
    "mnist": Source(
        "MNIST",
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        ("mnist", "MNIST/raw", "."),  # minilop, torchvision, the folder itself
        OfficialFile("train-images-idx3-ubyte", 47_040_016, "6bbc9ace898e44ae57da46a324031adb"),
        OfficialFile("train-labels-idx1-ubyte", 60_008, "a25bea736e30d166cdddb491f175f624"),
    ),
    "fashion_mnist": Source(
        "Fashion-MNIST",
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        ),
        ("fashion_mnist", "FashionMNIST/raw", ".", "/usr/share/datasets/fashion-mnist"),  # the last is that of Debian
        OfficialFile("train-images-idx3-ubyte", 47_040_016, "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
        OfficialFile("train-labels-idx1-ubyte", 60_008, "9018921c3c673c538a1fc5bad174d6f9"),
    ),
}


# The training images and labels of data sets that have the file names of MNIST, or are often renamed to them, by the
# md5 of the uncompressed file or, if only that is published, of the .gz file.
KNOWN = {
    **{official.md5: source.title for source in SOURCES.values() for official in (source.images, source.labels)},
    "bdb82020997e1d708af4cf47b453dcf7": "Kuzushiji-MNIST (KMNIST)",
    "e144d726b3acfaa3e44228e80efcd344": "Kuzushiji-MNIST (KMNIST)",
    "d2662ecdc47895a6bbfce25de9e9a677": "EMNIST Digits",
    "2223fcfee618ac9c89ef20b6e48bcf9e": "EMNIST Digits",
    "3663598a39195d030895b6304abb5065": "EMNIST MNIST",
    "6c092f03c9bb63e678f80f8bc605fe37": "EMNIST MNIST",
    "ed72d4157d28c017586c42bc6afe6370": "QMNIST",
    "0058f8dd561b90ffdd0f734c6a30e5e4": "QMNIST",
    # The uncompressed test files of MNIST and Fashion-MNIST.
    "2646ac647ad5339dbf082846283269ea": "the test part of MNIST",
    "27ae3e4e09519cfbb04c329615203637": "the test part of MNIST",
    "8181f5470baa50b63fa0f6fddb340f0a": "the test part of Fashion-MNIST",
    "15d484375f8d13e6eb1aabb0c3f46965": "the test part of Fashion-MNIST",
}


def read_idx(path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes, compressed with gzip or not, whatever its name is.

    Raises DataError if the file cannot be opened, is not an IDX file, is damaged, or has fewer or more bytes than its
    header announces. Reads at most one byte more than announced.
    """
    path = Path(path)
    with open_unpacked(path) as file:
        return _read(file, path)


def read_training_set(
    folder: str | os.PathLike[str], dataset: str
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The training images (N, 28, 28), gray levels 0 to 255, and labels (N,), 0 to 9, of "mnist" or "fashion_mnist".

    Looks for both files, compressed or not, in FOLDER/mnist, in torchvision's FOLDER/MNIST/raw and in FOLDER. For
    Fashion-MNIST, looks in FOLDER/fashion_mnist, FOLDER/FashionMNIST/raw, FOLDER and the folder of Debian's package
    dataset-fashion-mnist. The official set has N = 60,000; subsets are read too. Raises DataError if files are missing,
    do not fit together, or belong to another known data set.
    """
    return identify_training_set(folder, dataset)[1:]


def identify_training_set(
    folder: str | os.PathLike[str], dataset: str
) -> tuple[str, npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """A title, which says whether the files are official, and what `read_training_set` returns."""
    if dataset not in SOURCES:
        raise DataError(f"There is no IDX data set {dataset!r}; choose {' or '.join(SOURCES)}.")
    source = SOURCES[dataset]
    images_path, labels_path = _find(Path(folder), dataset, source)
    again = f"replace it with the file {{}} from {source.addresses[0]}."
    official = []
    arrays = []
    for path, file in ((images_path, source.images), (labels_path, source.labels)):
        array, is_official = _read_checked(path, file, dataset, Path(folder))
        arrays.append(array)
        official.append(is_official)
    images, labels = arrays
    if images.ndim != 3 or images.shape[1:] != (28, 28) or len(images) == 0:
        shape = " x ".join(map(str, images.shape))
        raise DataError(
            f"{images_path} should hold images of 28 x 28 pixels (N x 28 x 28) but holds {shape}; "
            + again.format(source.images.name)
        )
    if labels.shape != images.shape[:1]:
        shape = " x ".join(f"{size:,}" for size in labels.shape)
        raise DataError(
            f"{labels_path} should hold {len(images):,} labels, one per image in {images_path.name}, "
            f"but holds {shape}; " + again.format(source.labels.name)
        )
    if labels.max() > 9:
        first = int(np.argmax(labels > 9))
        raise DataError(
            f"{labels_path} should hold labels from 0 to 9 but label {first:,} (counted from 0) is {labels[first]}; "
            + again.format(source.labels.name)
        )
    return source.title if all(official) else unofficial(source.title), images, labels


def _read_checked(path: Path, official: OfficialFile, dataset: str, folder: Path) -> tuple[npt.NDArray[np.uint8], bool]:
    """The array in a file, and whether the file is official. Raises DataError if it belongs to another known set."""
    try:
        array = read_idx(path)
        found = md5(_header(array.shape), array.reshape(-1).data)
    except DataError:
        _refuse_known(md5_of_file(path), path, dataset, folder)  # the labels of QMNIST are not bytes
        raise
    if found != official.md5:
        _refuse_known(found, path, dataset, folder)
        _refuse_known(md5_of_file(path), path, dataset, folder)
    return array, found == official.md5


def _refuse_known(found: str, path: Path, dataset: str, folder: Path) -> None:
    if KNOWN.get(found, SOURCES[dataset].title) != SOURCES[dataset].title:
        raise DataError(
            f"{path} is a file of {KNOWN[found]}, by its checksum, but {SOURCES[dataset].title} is expected; move it "
            f"away and download the official file with {fetch_command(dataset, folder)}."
        )


def _header(shape: tuple[int, ...]) -> bytes:
    """The header of an IDX file of unsigned bytes."""
    return bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)


def _read(file: IO[bytes], path: Path) -> npt.NDArray[np.uint8]:
    magic = file.read(4)
    kind, what_to_do = other_format(magic)
    if kind:
        raise DataError(f"{path} is {kind}, and not an IDX file; {what_to_do}.")
    if len(magic) < 4 or magic[:2] != b"\0\0" or not 1 <= magic[3] <= MOST_DIMENSIONS:
        raise DataError(
            f"{path} is not an IDX file: it should begin with the bytes 00 00 08 and a number of dimensions "
            f"from 1 to {MOST_DIMENSIONS} but begins with {magic.hex(' ') or 'nothing'}; download it again."
        )
    if magic[2] != 0x08:
        raise DataError(
            f"{path} should hold unsigned bytes (type 08) but its header says type {magic[2]:02x}; "
            "provide the file of unsigned bytes."
        )
    num_dimensions = magic[3]
    sizes = file.read(4 * num_dimensions)
    header = 4 + 4 * num_dimensions  # bytes
    if len(sizes) < 4 * num_dimensions:
        raise DataError(f"{path} ends within its header, after {4 + len(sizes)} of {header} bytes; download it again.")
    shape = tuple(int.from_bytes(sizes[i : i + 4], "big") for i in range(0, len(sizes), 4))
    expected = math.prod(shape)  # bytes, one per element; exact, since Python's integers do not overflow
    if math.prod(size or 1 for size in shape) > LARGEST:  # NumPy cannot make 0 x 2^32 x 2^32
        raise DataError(
            f"{path} announces {' x '.join(map(str, shape))} bytes, but at most {LARGEST:,} are allowed; "
            "download it again."
        )
    content = read_exactly(file, expected + 1)
    if len(content) < expected:
        raise DataError(
            f"{path} is truncated: its header announces {header + expected:,} bytes but it ends after "
            f"{header + len(content):,}; download it again."
        )
    if len(content) > expected:
        raise DataError(
            f"{path} is longer than the {header + expected:,} bytes that its header announces; download it again."
        )
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _find(folder: Path, dataset: str, source: Source) -> tuple[Path, Path]:
    """The two files, always from the same folder: images and labels of different sets would pass all checks."""
    for place in source.places:
        images, labels = (_spelled(folder / place, official.name) for official in (source.images, source.labels))
        if images and labels:
            return images, labels
    wanted = " and ".join(
        f"{official.name}.gz ({official.size:,} bytes unpacked, md5 {official.md5})"
        for official in (source.images, source.labels)
    )
    raise DataError(
        f"{source.title} was not found in {folder}: download it with {fetch_command(dataset, folder)}, or get {wanted} "
        f"from {' or '.join(source.addresses)}, and put them, packed or unpacked, into {folder / dataset}."
    )


def spellings(name: str) -> tuple[str, ...]:
    """The possible names of a file, in order; some programs unpack to names like train-images.idx3-ubyte."""
    return tuple(spelling + suffix for spelling in (name, name.replace("-idx", ".idx")) for suffix in ("", ".gz"))


def _spelled(place: Path, name: str) -> Path | None:
    for spelling in spellings(name):
        if os.path.isfile(place / spelling):  # unlike Path.is_file, False if the folder is not readable
            return place / spelling
    return None
