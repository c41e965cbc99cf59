"""Fetches the official files of MNIST, Fashion-MNIST and CIFAR-100 from the first server that gives them whole.

A file arrives in NAME.part, is compared with the published size and checksum, and only then gets its name; so under
its name there is the official file or none. What was reached of it is kept, and a later command goes on from there, on
another server if need be. Nothing is unpacked: the readers read packed files. For the .gz files of MNIST the checksum is
that of what they hold, since packing again changes the .gz alone.
"""

import gzip
import hashlib
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from minilop.data import cifar100
from minilop.data.atomic_files import sync, sync_folder
from minilop.data.contents import gzip_finding
from minilop.data.errors import DataError, remedy
from minilop.data.idx import SOURCES, spellings
from minilop.data.official_files import OfficialFile
from minilop.data.transfers import Interrupted, Part, Unsuitable, open_part, receive

PATIENCE = 30.0  # seconds
ROUNDS = 10  # over all addresses; a server that breaks off again and again has brought its part each time
PIECE = 2**20  # bytes

Progress = Callable[[str, int, int], None]  # a file's name, bytes that are here, and in all (0: not known)


class Download(NamedTuple):
    name: str  # at the addresses and in the folder
    addresses: tuple[str, ...]  # without the name, in the order in which they are asked
    official: OfficialFile
    is_packed: bool = False  # whether size and checksum are those of what gzip packed
    also: tuple[str, ...] = ()  # names under which its reader would find it first

    @property
    def sizes(self) -> range:
        """In bytes, as it may come; gzip never adds more than a thousandth to what it packs, and a header."""
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
    """Have every one of the files in `folder`; the official ones that are there already are not asked for.

    say       is told what happens, line by line
    progress  is called after each piece that arrives
    patience  seconds to wait for a server that sends nothing, before the next one is asked

    Raises DataError where the folder cannot be written, where it holds something else under a file's name, which is
    left as it is, or where no server gave the file; the sentence then says how to get it by hand.
    """
    for download in downloads:
        with _blaming(Path(folder)):
            _fetch(download, Path(folder), say, progress, patience)


def _fetch(download: Download, folder: Path, say: Callable[[str], None], progress: Progress, patience: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    final, part_path = folder / download.name, folder / f"{download.name}.part"
    if _is_there(download, folder, say):
        return
    with open_part(part_path, say) as part:
        if _is_there(download, folder, say):  # another command has brought it between our look and our lock
            part.remove()
            return
        try:
            if part.held == 0 or finding(part.file, download):  # a part may be whole, and lack its name alone
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
    except FileNotFoundError:  # another command had its turn since our lock ended, and found the part whole
        if not final.exists():
            raise
    sync_folder(folder)
    say(f"{final} is whole: its checksum is the published one.")


def _is_there(download: Download, folder: Path, say: Callable[[str], None]) -> bool:
    """Raises DataError where the file that a reader would take is another: a user's own is never replaced."""
    for name in (*download.also, download.name):
        path = folder / name
        if os.path.isfile(path):
            with path.open("rb") as file:
                found = finding(file, download)
            if found:
                raise DataError(f"{path} is not the official file ({found}); move it away, then fetch again.")
            say(f"{path} is there already.")
            return True
    return False


def finding(file: BinaryIO, download: Download) -> str:
    """What is wrong with the content of an opened file, in a few words; empty where it is the official one."""
    official, size, digest = download.official, 0, hashlib.md5(usedforsecurity=False)
    file.seek(0)
    # A server may have unpacked what it sends; the reader takes either.
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
        return f"{'more' if size > official.size else f'{size:,}'} bytes where it has {official.size:,}"
    if digest.hexdigest() != official.md5:
        return f"md5 {digest.hexdigest()} where it has {official.md5}"
    return ""


def _receive(
    download: Download, folder: Path, part: Part, say: Callable[[str], None], progress: Progress, patience: float
) -> None:
    """Fill the part with the official file, from whichever address gives it."""
    reasons: dict[str, str] = {}  # why an address did not give it, the last time it was asked
    addresses = [address + download.name for address in download.addresses]
    for _ in range(ROUNDS):
        received = part.received
        for address in list(addresses):
            say(f"Asking {address}" + (f" for what follows the first {_words(part.held)}." if part.held else "."))
            try:
                _receive_from(address, download, part, progress, patience)
                return
            except (Interrupted, Unsuitable) as problem:
                if isinstance(problem, Unsuitable):
                    addresses.remove(address)
                reasons[address] = str(problem)
                say(f"That failed: {problem}.")
        if part.received == received:
            break
    where = " or ".join(f"{address} ({reason})" for address, reason in reasons.items())
    later = f"try again later, which goes on after the first {_words(part.held)}" if part.held else "try again later"
    packed = " unpacked" if download.is_packed else ""
    raise DataError(
        f"{download.name} could not be fetched from {where}: {later}, or get it from there by other means "
        f"({download.official.size:,} bytes{packed}, md5 {download.official.md5}) and put it into {folder}."
    )


def _receive_from(address: str, download: Download, part: Part, progress: Progress, patience: float) -> None:
    """The content decides whether that succeeded, whatever the server has announced."""

    def count(done: int, total: int) -> None:
        progress(download.name, done, total)

    while True:
        try:
            began_anew = receive(address, part, download.sizes, patience, count)
        except Interrupted:
            if part.held and not finding(part.file, download):  # more was announced than there is
                return
            raise
        found = finding(part.file, download)
        if not found:
            return
        part.begin()
        if began_anew:
            raise Unsuitable(f"it is not the official file: {found}")
        # Else the bytes that were here before may be to blame, and it is asked once more, for all.


def _words(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size:,} bytes"


@contextmanager
def _blaming(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise DataError(
            f"{problem.filename or folder} cannot be read or written ({problem.strerror or problem}); "
            f"{remedy(problem)}, and the same command goes on where this one stopped."
        ) from None
