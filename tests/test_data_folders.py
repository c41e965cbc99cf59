"""Folders of users' machines: without fsync, without locks, full, read-only, shared by containers, left by a kill."""

import errno
import hashlib
import json
import os
import shutil
import time

import numpy as np
import pytest

from minilop.data import DataError, fetching, imagenet32_conversion, locking, open_store, transfers
from minilop.data.atomic_files import atomic_write, remove_unfinished, sync
from minilop.data.errors import remedy
from minilop.data.fetching import Download, fetch
from minilop.data.imagenet32_conversion import convert
from minilop.data.official_files import OfficialFile

pytestmark = pytest.mark.quick

CONTENT = b"the content of an official file"
DOWNLOAD = Download("file.bin", (), OfficialFile("file.bin", len(CONTENT), hashlib.md5(CONTENT).hexdigest()))


def fetch_here(folder, say=lambda line: None):
    """A fetch that needs no server, since the part lacks nothing but its name."""
    folder.mkdir(exist_ok=True)
    (folder / "file.bin.part").write_bytes(CONTENT)
    fetch([DOWNLOAD], folder, say)
    assert (folder / "file.bin").read_bytes() == CONTENT


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """A source of one prepared class."""
    folder = tmp_path_factory.mktemp("source")
    np.save(folder / "0.npy", np.random.default_rng(0).integers(0, 256, (700, 3, 32, 32), dtype=np.uint8))
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


STORE = ["images.npy", "mean.npy", "store.json"]


# --- durability that a file system does not offer ---------------------------------------------------------------------

REFUSALS = [errno.EINVAL, errno.ENOTSUP, errno.EIO, errno.EACCES, errno.EBADF]  # CIFS, VirtualBox, FUSE, WSL


def refuse_folders(monkeypatch, number, call):
    """Let fsync of a folder, or already opening it, fail with this number; files are as usual."""
    original = getattr(os, call)

    def refused(what, *arguments):
        is_folder = os.path.isdir(what) if call == "open" else os.path.isdir(f"/proc/self/fd/{what}")
        if is_folder:
            raise OSError(number, os.strerror(number))
        return original(what, *arguments)

    monkeypatch.setattr(os, call, refused)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="tells folders by /proc")
@pytest.mark.parametrize("call", ["fsync", "open"])
@pytest.mark.parametrize("number", REFUSALS)
def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path, classes, monkeypatch, number, call):
    """The file is whole and has its name by then, for fetched files, stores, results and checkpoints alike."""
    refuse_folders(monkeypatch, number, call)
    atomic_write(tmp_path / "result", lambda file: file.write(b"whole"))
    assert (tmp_path / "result").read_bytes() == b"whole"
    fetch_here(tmp_path / "fetched")
    convert(classes, tmp_path / "store", num_classes=1)
    assert names(tmp_path / "store") == STORE


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
def test_a_file_system_without_fsync_is_used_without(tmp_path, monkeypatch, number):
    def refused(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refused)
    fetch_here(tmp_path)


def test_a_file_that_could_not_be_written_is_an_error(tmp_path, monkeypatch):
    """EIO of a file, unlike that of a folder, says that bytes are lost."""

    def failing(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", failing)
    with (tmp_path / "file").open("wb") as file, pytest.raises(OSError, match="Input/output error"):
        sync(file)


# --- locks that a file system does not offer --------------------------------------------------------------------------


@pytest.fixture
def flock(monkeypatch):
    """Lets flock fail with a number."""
    fcntl = pytest.importorskip("fcntl")

    def fail(number):
        def refused(*arguments):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(fcntl, "flock", refused)

    monkeypatch.setattr(locking, "_warned", set())
    return fail


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_the_command_goes_on_and_says_so_once(tmp_path, classes, flock, number):
    flock(number)
    said = []
    fetch_here(tmp_path / "fetched", said.append)
    (tmp_path / "fetched" / "file.bin").unlink()
    fetch_here(tmp_path / "fetched", said.append)
    (told,) = (line for line in said if "has no locks" in line)
    assert told == (
        f"The file system of {tmp_path / 'fetched'} has no locks ({os.strerror(number)}); make sure that no "
        "other command writes there at the same time."
    )
    convert(classes, tmp_path / "store", num_classes=1, say=said.append)
    assert names(tmp_path / "store") == STORE
    assert sum("has no locks" in line for line in said) == 2  # another folder


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EACCES])
def test_a_lock_that_another_command_holds_is_told_as_such(tmp_path, flock, number):
    flock(number)
    with pytest.raises(DataError, match=r"file.bin.part is being written by another command; wait for it or choose"):
        fetch_here(tmp_path)


def test_a_lock_that_fails_for_another_reason_has_a_remedy_of_its_own(tmp_path, flock):
    flock(errno.EIO)
    with pytest.raises(DataError, match=r"\(Input/output error\); check the disk and its connection, or choose"):
        fetch_here(tmp_path)


# --- names of temporary files -----------------------------------------------------------------------------------------


def test_two_processes_of_one_number_on_hosts_of_one_name_write_two_files(tmp_path):
    """As in containers that share a folder: this very process stands for both."""
    path, open_at_once = tmp_path / "result", []

    def first(file):
        file.write(b"first")
        open_at_once.extend(names(tmp_path))
        atomic_write(path, lambda second: (second.write(b"second"), open_at_once.extend(names(tmp_path))))
        file.write(b", whole")

    atomic_write(path, first)
    assert len(set(open_at_once)) == 2 and all(name.endswith(".tmp") for name in open_at_once)
    assert path.read_bytes() == b"first, whole" and names(tmp_path) == ["result"]


def test_a_temporary_file_is_removed_when_it_is_a_day_old(tmp_path):
    young, old = tmp_path / "a.npz.1111.tmp", tmp_path / "a.npz.2222.tmp"
    for path, hours in ((young, 23), (old, 25)):
        path.touch()
        os.utime(path, (time.time() - hours * 3600,) * 2)
    remove_unfinished(tmp_path, "*.npz")
    assert names(tmp_path) == [young.name]
    remove_unfinished(tmp_path, "*.npz", is_locked=True)  # whose writer would hold the lock that we hold
    assert names(tmp_path) == []


# --- full, read-only and otherwise unsuitable folders -----------------------------------------------------------------

REMEDIES = {
    errno.ENOSPC: "make room or choose another --out",
    errno.EDQUOT: "make room or choose another --out",
    errno.EROFS: "choose another --out, a folder that you may write",
    errno.EACCES: "choose another --out, a folder that you may write",
    errno.ENOENT: "make its folder or choose another --out",
    errno.ENOTDIR: "a file is in its way: remove that file or choose another --out",
    errno.EFBIG: "choose another --out, on a file system that allows files of several gigabytes",
    errno.EIO: "check the disk and its connection, or choose another --out",
}


@pytest.mark.parametrize("number", REMEDIES)
def test_the_remedy_fits_the_reason_in_fetching_and_in_conversion(tmp_path, classes, monkeypatch, number):
    def failing(file):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fetching, "sync", failing)
    monkeypatch.setattr(imagenet32_conversion, "sync", failing)
    assert remedy(OSError(number, "")) == REMEDIES[number]
    for command, folder in (
        (lambda folder: fetch_here(folder), tmp_path / "fetched"),
        (lambda folder: convert(classes, folder, num_classes=1), tmp_path / "store"),
    ):
        with pytest.raises(DataError) as caught:
            command(folder)
        sentence = str(caught.value)
        assert str(folder) in sentence and f"({os.strerror(number)}); {REMEDIES[number]}, then run the same" in sentence


def test_a_file_system_that_does_not_know_its_room_is_tried(tmp_path, classes, monkeypatch):
    """Some answer that they have 0 bytes of 0, some do not answer."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, 0))
    convert(classes, tmp_path / "one", num_classes=1)

    def silent(path):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(shutil, "disk_usage", silent)
    convert(classes, tmp_path / "two", num_classes=1)


# --- what a killed command left ---------------------------------------------------------------------------------------


def test_what_a_killed_conversion_left_is_cleaned_by_the_next(tmp_path, classes):
    """Killed while it wrote its line of progress or its mean: the half-written files go, since their writer is dead."""
    pytest.importorskip("fcntl")
    left = ["images.npy.part.json.0011223344556677.tmp", "mean.npy.8899aabbccddeeff.tmp", "store.json.0000.tmp"]
    for name in [*left, "images.npy.part", "mean.npy", "notes.tmp"]:
        (tmp_path / name).write_bytes(b"half")
    convert(classes, tmp_path, num_classes=1)
    assert names(tmp_path) == [*STORE[:2], "notes.tmp", STORE[2]]
    open_store(tmp_path).verify()


def test_what_a_conversion_left_that_was_killed_at_its_very_end_is_cleaned(tmp_path, classes):
    """Between giving the store its name and removing the line of progress; or opened a part as another ended."""
    convert(classes, tmp_path, num_classes=1)
    (tmp_path / "images.npy.part.json").write_text("{}")
    (tmp_path / "images.npy.part").touch()
    convert(classes, tmp_path, num_classes=1)
    assert names(tmp_path) == STORE


@pytest.mark.parametrize(
    "line",
    [
        "[" * 100_000,
        '{"done": [], "counts": [1e999], "what": 0}',
        '{"done": 7}',
        '{"done": [], "counts": [-1]}',
        '{"done": [], "counts": [[0]]}',
        "[]",
        "\0",
    ],
)
def test_progress_that_makes_no_sense_begins_anew(tmp_path, classes, line):
    (tmp_path / "images.npy.part").write_bytes(b"")
    (tmp_path / "images.npy.part.json").write_text(line)
    convert(classes, tmp_path, num_classes=1)
    assert names(tmp_path) == STORE


@pytest.mark.parametrize("origin", ["[" * 100_000, '["http://x", "1", Infinity]', json.dumps(["a", "b", "9" * 5000])])
def test_an_origin_that_makes_no_sense_is_of_no_use(tmp_path, origin):
    (tmp_path / "file.part").write_bytes(b"half")
    (tmp_path / "file.part.json").write_text(origin)
    with transfers.open_part(tmp_path / "file.part", lambda line: None) as part:
        assert part.origin is None


def test_what_a_killed_fetch_left_is_cleaned_by_the_next(tmp_path):
    pytest.importorskip("fcntl")
    (tmp_path / "file.bin.part.json.0011223344556677.tmp").write_bytes(b"half")
    fetch_here(tmp_path)
    assert names(tmp_path) == ["file.bin"]
