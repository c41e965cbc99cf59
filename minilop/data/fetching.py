"""Downloads the official files of MNIST, Fashion-MNIST and CIFAR-100 from the first server that provides them.

A file is downloaded to NAME.part and gets its name only when its size and checksum are the published ones. If the
download is interrupted, a later command continues it, if necessary from another server. The files are not unpacked,
since the readers read packed files. The checksums of the .gz files of MNIST are those of their content, since
compressing again changes the .gz file but not its content.
"""

import gzip
import hashlib
import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from minilop.data import cifar100
from minilop.data.atomic_files import sync, sync_folder
from minilop.data.contents import gzip_finding
from minilop.data.errors import DataError, blaming
from minilop.data.idx import SOURCES, spellings
from minilop.data.official_files import OfficialFile
from minilop.data.transfers import Interrupted, Part, Unsuitable, open_part, receive

PATIENCE = 30.0  # seconds
ROUNDS = 10  # over all addresses; each attempt that breaks off has still downloaded a part
PIECE = 2**20  # bytes

Progress = Callable[[str, int, int], None]  # the name of a file, bytes downloaded, and its size (0: unknown)


class Download(NamedTuple):
    name: str  # on the servers and in the folder
    addresses: tuple[str, ...]  # without the name, in the order in which they are tried
    official: OfficialFile
    is_packed: bool = False  # whether the size and the checksum are those of the uncompressed content
    also: tuple[str, ...] = ()  # names that its reader looks for first

    @property
    def sizes(self) -> range:
        """The possible sizes in bytes; gzip adds at most a thousandth and a header to its input."""
        size = self.official.size
        return range(1, size + size // 1000 + 1001) if self.is_packed else range(size, size + 1)


DOWNLOADS = {
    **{
        dataset: tuple(
            Download(f"{official.name}.gz", source.addresses, official, is_packed=True, also=spellings(official.name))
            for official in (source.images, source.labels)
        )
        for dataset, source in SOURCES.items()
    },
    "cifar100": (Download(cifar100.ARCHIVE.name, cifar100.ADDRESSES, cifar100.ARCHIVE),),
}


def fetch(
    downloads: Sequence[Download],
    folder: str | os.PathLike[str],
    say: Callable[[str], None] = lambda line: None,
    progress: Progress = lambda name, done, total: None,
    patience: float = PATIENCE,
) -> None:
    """Download the files to `folder`, except those that are already there.

    say       called with a line for each event
    progress  called after each piece that arrives
    patience  seconds to wait for a silent server before the next one is tried

    Raises DataError if the folder cannot be written, if it holds a different file under one of the names, or if no
    server provides a file; the message then says how to get it by other means.
    """
    for download in downloads:
        with blaming(Path(folder)):
            _fetch(download, Path(folder), say, progress, patience)


def _fetch(download: Download, folder: Path, say: Callable[[str], None], progress: Progress, patience: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    final, part_path = folder / download.name, folder / f"{download.name}.part"
    if _is_there(download, folder, say):
        return
    with open_part(part_path, say) as part:
        if _is_there(download, folder, say):  # another command has downloaded it before the lock
            part.remove()
            return
        try:
            if part.held == 0 or finding(part.file, download):  # a complete part may only lack its name
                if part.origin is None:
                    part.begin()
                _receive(download, folder, part, say, progress, patience)
        finally:
            if part.held == 0:
                part.remove()
        sync(part.file)
        part.origin_path.unlink(missing_ok=True)
    try:
        os.replace(part_path, final)
    except FileNotFoundError:  # another command has renamed it since the lock was released
        if not final.exists():
            raise
    sync_folder(folder)
    say(f"{final} is complete and has the published checksum.")


def _is_there(download: Download, folder: Path, say: Callable[[str], None]) -> bool:
    """Raises DataError if the reader would use a different file; files of the user are never replaced."""
    for name in (*download.also, download.name):
        path = folder / name
        if os.path.isfile(path):
            with path.open("rb") as file:
                found = finding(file, download)
            if found:
                raise DataError(f"{path} is not the official file ({found}); move it away, then run the command again.")
            say(f"{path} already exists.")
            return True
    return False


def finding(file: BinaryIO, download: Download) -> str:
    """What is wrong with the content of an open file, in a few words; empty if it is the official file."""
    official, size, digest = download.official, 0, hashlib.md5(usedforsecurity=False)
    file.seek(0)
    # Some servers decompress the file; the reader accepts both forms.
    is_packed = download.is_packed and file.read(2) == b"\x1f\x8b"
    file.seek(0)
    try:
        content = gzip.GzipFile(fileobj=file, mode="rb") if is_packed else file
        while size <= official.size and (piece := content.read(min(PIECE, official.size + 1 - size))):
            digest.update(piece)
            size += len(piece)
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        return f"a damaged gzip file: {gzip_finding(problem)}"
    if size != official.size:
        return f"{'more' if size > official.size else f'{size:,}'} bytes instead of {official.size:,}"
    if digest.hexdigest() != official.md5:
        return f"md5 {digest.hexdigest()} instead of {official.md5}"
    return ""


def _receive(
    download: Download, folder: Path, part: Part, say: Callable[[str], None], progress: Progress, patience: float
) -> None:
    """Fill the part with the official file from one of the addresses."""
    reasons: dict[str, str] = {}  # by address, why its last attempt failed
    addresses = [address + download.name for address in download.addresses]
    for _ in range(ROUNDS):
        received = part.received
        for address in list(addresses):
            say(f"Asking {address}" + (f" to continue after {_words(part.held)}." if part.held else "."))
            try:
                _receive_from(address, download, part, progress, patience)
                return
            except (Interrupted, Unsuitable) as problem:
                if isinstance(problem, Unsuitable):
                    addresses.remove(address)
                reasons[address] = str(problem)
                say(f"The download failed: {problem}.")
        if part.received == received:
            break
    where = " or ".join(f"{address} ({reason})" for address, reason in reasons.items())
    later = f"try again later, to continue after {_words(part.held)}" if part.held else "try again later"
    packed = " unpacked" if download.is_packed else ""
    raise DataError(
        f"{download.name} could not be downloaded from {where}: {later}, or get it from there by other means "
        f"({download.official.size:,} bytes{packed}, md5 {download.official.md5}) and put it into {folder}."
    )


def _receive_from(address: str, download: Download, part: Part, progress: Progress, patience: float) -> None:
    """Download from one address; success depends on the content, not on what the server announces."""

    def count(done: int, total: int) -> None:
        progress(download.name, done, total)

    while True:
        try:
            restarted = receive(address, part, download.sizes, patience, count)
        except Interrupted:
            if part.held and not finding(part.file, download):  # the server announced more than there is
                return
            raise
        found = finding(part.file, download)
        if not found:
            return
        part.begin()
        if restarted:
            raise Unsuitable(f"it is not the official file: {found}")
        # Otherwise the bytes of an earlier command may be wrong: download the whole file.


def _words(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size:,} bytes"
