"""Damages data files in thousands of ways and counts what their readers make of each.

    python tests/data_mutations.py [MUTATIONS [STRIDE]]

For every format MUTATIONS random changes (2,000), and of its headers every STRIDE-th bit flipped (1: all). Memory is
limited to 1 GB, a reading to 10 s. A changed file may be refused in a sentence, read as what it was, or, where its
format has no checksum of its own, read as something else under the title of unofficial files. All else is a fault: a
traceback, a reading that does not end, and a change that is accepted although a checksum exists. Exits with 1 then.
"""

import collections
import gzip
import io
import pickle
import random
import resource
import shutil
import signal
import struct
import sys
import tarfile
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minilop.data import (
    DataError,
    cifar100,
    identify_cifar100,
    identify_training_set,
    idx,
    imagenet32_sources,
    open_store,
)
from minilop.data.imagenet32_conversion import convert
from minilop.data.official_files import md5

LIMIT = 2**30  # bytes
PATIENCE = 10  # seconds
INTERESTING = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]

OUTCOMES = ("refused", "as it was", "called unofficial", "SILENT", "TRACEBACK", "HANG")
Read = Callable[[], tuple[bool, list[np.ndarray]]]  # whether it is called official, and what was read


class Format(NamedTuple):
    name: str
    path: Path  # of the file that is damaged
    content: bytes
    headers: list[slice]  # of which every bit is flipped
    read: Read
    repack: Callable[[bytes], bytes] = bytes  # from what is damaged to what is written, with right checksums
    has_checksum: bool = True  # whether a change must never be read under an official title, or at all


class Hang(Exception):
    """A reading took longer than PATIENCE."""


def mutate(content: bytes, rng: random.Random) -> bytes:
    """The content with one to three random changes."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        # Headers are small and content is large: half of the changes are near an end.
        size = max(1, len(changed))
        near = rng.randrange(min(600, size))
        place = rng.choice((rng.randrange(size), near, size - 1 - near))
        length = rng.choice((1, 2, 4, 8, 16, 100, 512, 5000))
        kind = rng.randrange(8)
        if kind == 0 and changed:
            changed[place] ^= 1 << rng.randrange(8)
        elif kind == 1 and changed:
            changed[place] = rng.randrange(256)
        elif kind == 2:
            del changed[place:]
        elif kind == 3:
            del changed[place : place + length]
        elif kind == 4:
            changed[place:place] = rng.randbytes(length)
        elif kind == 5:
            changed[place : place + length] = bytes([rng.choice((0, 0xFF, 0x20))]) * length
        elif kind == 6:
            other = rng.randrange(size)
            changed[place:place] = changed[other : other + length]
        else:
            form = rng.choice(("<I", ">I", "<Q", ">Q", "<H", "B"))
            number = rng.choice(INTERESTING) % 256 ** struct.calcsize(form)
            changed[place : place + struct.calcsize(form)] = struct.pack(form, number)
    return bytes(changed)


def damaged(form: Format, mutations: int, stride: int) -> Iterator[bytes]:
    """All that is tried of a format."""
    places = [place for header in form.headers for place in range(*header.indices(len(form.content)))]
    for bit in range(0, 8 * len(places), stride):
        content = bytearray(form.content)
        content[places[bit // 8]] ^= 1 << bit % 8
        yield bytes(content)
    rng = random.Random(form.name)
    for _ in range(mutations):
        yield mutate(form.content, rng)


def outcome(form: Format, original: list[np.ndarray]) -> str:
    """What the reader makes of the file as it is now."""
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        is_official, found = form.read()
    except DataError as refusal:
        sentence = str(refusal)
        return "refused" if "\n" not in sentence and sentence.endswith(".") else "TRACEBACK"
    except Hang:
        return "HANG"
    except Exception:  # noqa: BLE001 - whatever a reader lets through is what is looked for
        traceback.print_exc()
        return "TRACEBACK"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    same = len(found) == len(original) and all(
        a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(found, original, strict=True)
    )
    if same:
        return "as it was"
    return "SILENT" if is_official or form.has_checksum else "called unofficial"


def repack_tar(content: bytes) -> bytes:
    """A tar archive whose first two headers have right sums again, packed."""
    changed = bytearray(content)
    for start in (0, 512):
        header = changed[start : start + 512]
        if len(header) == 512 and any(header):
            header[148:156] = b" " * 8
            changed[start + 148 : start + 156] = b"%06o\0 " % sum(header)
    return gzip.compress(bytes(changed), 1)


def formats(folder: Path) -> Iterator[Format]:
    """Small files of every format, each in a folder of its own, behind the official checksums."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (3, 28, 28), dtype=np.uint8), np.array([3, 0, 9], np.uint8)
    files = [bytes([0, 0, 8, a.ndim]) + struct.pack(f">{a.ndim}I", *a.shape) + a.tobytes() for a in (images, labels)]
    source = idx.SOURCES["mnist"]
    idx.SOURCES["mnist"] = source._replace(
        images=source.images._replace(md5=md5(files[0])), labels=source.labels._replace(md5=md5(files[1]))
    )
    for name, pack, repack, headers in (
        ("IDX", bytes, bytes, [slice(16)]),
        ("IDX.gz", gzip.compress, bytes, [slice(10), slice(-8, None)]),
        ("IDX, repacked", bytes, gzip.compress, [slice(16)]),
    ):
        place = folder / name
        place.mkdir()
        (place / source.labels.name).write_bytes(files[1])

        def read_digits(place: Path = place) -> tuple[bool, list[np.ndarray]]:
            title, *arrays = identify_training_set(place, "mnist")
            return title == "MNIST", arrays

        yield Format(name, place / source.images.name, pack(files[0]), headers, read_digits, repack, pack != bytes)

    pictures = rng.integers(0, 256, (2, 3072), dtype=np.uint8)
    records = b"".join(bytes([1, label]) + picture.tobytes() for label, picture in zip((42, 99), pictures, strict=True))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for member, content in (("cifar-100-binary/test.bin", b"other"), ("cifar-100-binary/train.bin", records)):
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    archive_bytes = out.getvalue()
    cifar100.MD5["cifar-100-binary/train.bin"] = md5(records)
    pickles = {
        protocol: pickle.dumps({"data": pictures, "fine_labels": [42, 99], "filenames": ["a", "b"]}, protocol)
        for protocol in (0, 2, 5)
    }
    tar_headers = [slice(512), slice(1024, 1536)]
    packed = gzip.compress(archive_bytes, 1)
    for name, file, content, headers, repack, has_checksum in (
        ("CIFAR tar", "cifar-100-binary.tar", archive_bytes, tar_headers, bytes, False),
        ("CIFAR tar.gz", "cifar-100-binary.tar.gz", packed, [slice(10), slice(-8, None)], bytes, True),
        ("CIFAR tar, repacked", "cifar-100-binary.tar.gz", archive_bytes, tar_headers, repack_tar, False),
        *(
            (f"CIFAR pickle, protocol {protocol}", "cifar-100-python/train", content, heads, bytes, False)
            for protocol, content in pickles.items()
            for heads in [[slice(250), slice(-100, None)]]
        ),
    ):
        place = folder / name
        (place / file).parent.mkdir(parents=True)

        def read_pictures(place: Path = place, content: bytes = content) -> tuple[bool, list[np.ndarray]]:
            cifar100.MD5["cifar-100-python/train"] = md5(content)
            title, *arrays = identify_cifar100(place, "train")
            return title == "CIFAR-100", arrays

        yield Format(name, place / file, content, headers, read_pictures, repack, has_checksum)

    batch = io.BytesIO()
    np.savez_compressed(batch, data=pictures, labels=np.array([1, 2]), mean=pictures.mean(axis=0))
    stored = io.BytesIO()
    np.savez(stored, data=pictures, labels=np.array([1, 2]))
    inner = io.BytesIO()
    np.save(inner, pictures)
    label_file = io.BytesIO()
    np.save(label_file, np.array([1, 2]))

    def rezip(content: bytes) -> bytes:
        """An npz file of a damaged array and good labels, with right checksums."""
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("data.npy", content)
            archive.writestr("labels.npy", label_file.getvalue())
        return out.getvalue()

    pickled = pickle.dumps({"data": pictures, "labels": [1, 2], "mean": pictures.mean(axis=0)}, 2)
    sides = [slice(60), slice(-200, None)]
    for name, content, headers, repack, checksums, has_checksum in (
        ("ImageNet npz, checksums", batch.getvalue(), sides, bytes, True, True),
        ("ImageNet npz, stored", stored.getvalue(), [slice(200), slice(-220, None)], bytes, False, True),
        ("ImageNet npz, rezipped", inner.getvalue(), [slice(128)], rezip, False, False),
        ("ImageNet pickle", pickled, [slice(200), slice(-100, None)], bytes, False, False),
    ):
        path = folder / name
        of_batch = imagenet32_sources.Source("npz", (path,))

        def read_batch(
            of_batch: imagenet32_sources.Source = of_batch, checksums: bool = checksums, content: bytes = content
        ) -> tuple[bool, list[np.ndarray]]:
            imagenet32_sources.MD5 = (md5(content),)
            pieces = list(imagenet32_sources.read_pieces(of_batch, 0, 1000, checksums))
            return checksums, [np.concatenate(part) for part in zip(*pieces, strict=True)] if pieces else []

        yield Format(name, path, content, headers, read_batch, repack, has_checksum)

    place = folder / "source"
    place.mkdir()
    np.save(place / "0.npy", rng.integers(0, 256, (700, 3, 32, 32), dtype=np.uint8))
    convert(place, place / "store", num_classes=1)
    for file, headers in (("images.npy", [slice(128)]), ("mean.npy", [slice(128)]), ("store.json", [slice(None)])):
        store = shutil.copytree(place / "store", folder / f"store with {file}")

        def read_store(store: Path = store) -> tuple[bool, list[np.ndarray]]:
            opened = open_store(store)
            return False, [np.array(opened.images(0)), opened.mean]

        yield Format(f"store, {file}", store / file, (store / file).read_bytes(), headers, read_store)


def campaign(mutations: int, stride: int) -> bool:
    """Print the table; gives whether there was no fault."""

    def ring(number: int, frame: object) -> None:
        raise Hang

    signal.signal(signal.SIGALRM, ring)
    faults = 0
    print(f"| format | tried | {' | '.join(OUTCOMES)} | slowest |\n|---|---|{'---|' * len(OUTCOMES)}---|")
    with tempfile.TemporaryDirectory() as folder:
        for form in formats(Path(folder)):
            form.path.write_bytes(form.repack(form.content))
            _, original = form.read()
            counts: collections.Counter[str] = collections.Counter()
            slowest = 0.0
            for content in damaged(form, mutations, stride):
                form.path.write_bytes(form.repack(content))
                began = time.perf_counter()
                found = outcome(form, original)
                slowest = max(slowest, time.perf_counter() - began)
                counts[found] += 1
                if found.isupper():
                    faults += 1
                    kept = Path(tempfile.gettempdir()) / f"fault-{faults}"
                    kept.write_bytes(form.path.read_bytes())
                    print(f"{found} in {form.name}, kept as {kept}", file=sys.stderr)
            columns = " | ".join(str(counts[kind]) for kind in OUTCOMES)
            print(f"| {form.name} | {counts.total()} | {columns} | {slowest:.2f} s |", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{faults} faults; at most {peak:.0f} MB of memory at any moment.")
    return faults == 0


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    arguments = [int(argument) for argument in sys.argv[1:]]
    sys.exit(not campaign(*(arguments + [2000, 1][len(arguments) :])))
