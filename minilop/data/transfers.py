"""One file over HTTP into a part, NAME.part, with which a later transfer goes on.

What the part is a part of is in a line of JSON beside it: the address, the version that the server named, and the size
of the whole. A server is asked for the bytes that are lacking (Range, RFC 9110); where it answers with all of them, or
with those of another version or size, the part begins anew.
"""

import glob
import http
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from minilop import __version__
from minilop.data.atomic_files import atomic_write, check_room, remove_unfinished
from minilop.data.locking import lock

PIECE = 2**16  # bytes
SLOWEST = 1000.0  # bytes a second; a server below that stands still for our purpose, and another is asked
PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers that the same server may not repeat later

Progress = Callable[[int, int], None]  # bytes that are here, and in all (0: not known)


class Interrupted(Exception):
    """The transfer ended early; another, from here or elsewhere, may go on with the part."""


class Unsuitable(Exception):
    """The address does not give the file, and would not if asked again."""


class Origin(NamedTuple):
    address: str
    version: str  # the server's ETag or else its Last-Modified; empty where it names neither
    total: int  # bytes; 0 where the server does not say

    def may_continue(self, other: "Origin") -> bool:
        """Whether bytes of the two may be of one file. Versions are compared only where one server named both."""
        versions_agree = self.version == other.version or self.address != other.address
        return versions_agree and self.total == other.total


class Part:
    """What has arrived of a file, opened, and where it is from."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file = path, file
        self.origin_path = path.with_name(f"{path.name}.json")
        self.held = os.fstat(file.fileno()).st_size  # bytes
        self.received = 0  # bytes added by this command, whether they were kept or not
        self.origin: Origin | None = None
        try:
            address, version, total = json.loads(self.origin_path.read_text())
            self.origin = Origin(str(address), str(version), int(total))
        except (FileNotFoundError, ValueError, TypeError, OverflowError, RecursionError):  # unknown origin: of no use
            pass

    def begin(self, origin: Origin | None = None) -> None:
        """Throw away what is there, before anything that another origin gives is added."""
        self.file.truncate(0)
        self.held, self.origin = 0, origin
        if origin:
            atomic_write(self.origin_path, lambda target: target.write(json.dumps(origin).encode()))

    def add(self, piece: bytes) -> None:
        self.file.write(piece)
        self.held += len(piece)
        self.received += len(piece)

    def remove(self) -> None:
        """Take its names away. The open file is not emptied: another command may have given it its final name."""
        self.origin_path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


@contextmanager
def open_part(path: Path, say: Callable[[str], None]) -> Iterator[Part]:
    """The part at `path`, as it was left or empty, for this command alone where the file system has locks.

    Raises DataError where another command has it.
    """
    with path.open("a+b") as file:
        is_locked = lock(file, path, say)
        part = Part(path, file)
        remove_unfinished(path.parent, glob.escape(part.origin_path.name), is_locked)
        yield part


def receive(address: str, part: Part, sizes: range, patience: float, progress: Progress) -> bool:
    """Add to the part what it lacks, or begin it anew, until the server has sent all; gives whether it began anew.

    sizes     bytes that the file may have; a server that announces another size, or sends more, has another file
    patience  seconds to wait for a server that sends nothing, or next to nothing

    Raises Interrupted or Unsuitable, with the reason in a few words, and OSError where the part cannot be written.
    """
    start, expected = part.held, f"{'at most ' if len(sizes) > 1 else ''}{sizes[-1]:,}"
    response, first_byte, origin = _ask(address, start, patience)
    if first_byte and not (first_byte == start and part.origin and origin.may_continue(part.origin)):
        response.close()
        response, first_byte, origin = _ask(address, 0, patience)
    with closing(response):
        if origin.total and origin.total not in sizes:  # a page that asks to sign in, say; the part outlives it
            raise Unsuitable(f"it has {origin.total:,} bytes where {expected} are expected")
        if first_byte == 0:
            part.begin(origin)
        lacking = origin.total - part.held
        check_room(part.path.parent, lacking, f"{lacking / 1e6:.1f} MB more are needed")
        for piece in _pieces(response, patience):
            part.add(piece)
            progress(part.held, origin.total)
            if part.held > sizes[-1]:
                part.begin()
                raise Unsuitable(f"it sends more bytes than {expected}")
    if part.held < origin.total:
        raise Interrupted(f"the connection ended after {part.held:,} of {origin.total:,} bytes")
    return first_byte == 0


def _ask(address: str, start: int, patience: float) -> tuple[http.client.HTTPResponse, int, Origin]:
    """The server's answer to a question for the bytes from `start` on, the first byte it gives, and of what."""
    request = urllib.request.Request(address, headers={"User-Agent": f"minilop/{__version__}"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    with _reasons(patience):
        try:
            response = _opener().open(request, timeout=patience)
        except urllib.error.HTTPError as answer:
            answer.close()
            if start and answer.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return _ask(address, 0, patience)
            phrase = http.client.responses.get(answer.code, "")  # not the server's own, which could be anything
            kind = Interrupted if answer.code in PASSING else Unsuitable
            raise kind(f"it answered {answer.code} {phrase}".rstrip()) from None
    version = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        named = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})", response.headers.get("Content-Range", ""))
        if named and int(named[1]) == start:
            return response, start, Origin(address, version, int(named[2]))
    elif response.status == http.HTTPStatus.OK:
        length = response.headers.get("Content-Length", "")
        return response, 0, Origin(address, version, int(length) if re.fullmatch(r"\d{1,18}", length) else 0)
    response.close()
    if start:
        return _ask(address, 0, patience)
    raise Unsuitable(f"its answer {response.status} is not understood")


def _opener() -> urllib.request.OpenerDirector:
    """One that knows HTTP alone, so that no redirection leads to a file or to FTP."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def _pieces(response: http.client.HTTPResponse, patience: float) -> Iterator[bytes]:
    """What the server sends, as it comes. A trickle is an interruption, too: no single wait need be long in it."""
    since, received = time.monotonic(), 0
    while True:
        with _reasons(patience):
            piece = response.read1(PIECE)
        if not piece:
            return
        yield piece
        received += len(piece)
        waited = time.monotonic() - since
        if waited > patience:
            if received < SLOWEST * waited:
                raise Interrupted(f"it sent only {received:,} bytes in {waited:.0f} s")
            since, received = time.monotonic(), 0


@contextmanager
def _reasons(patience: float) -> Iterator[None]:
    """Turns what the network raises into an Interrupted with a reason in a few words."""
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as problem:  # ValueError: an address that is none
        reason = getattr(problem, "reason", problem)
        if isinstance(reason, TimeoutError):
            raise Interrupted(f"it sent nothing for {patience:g} s") from None
        words = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        raise Interrupted(" ".join(words.split())) from None
