"""Downloads one file over HTTP to NAME.part, so that a later command can continue the download.

A JSON file beside the part stores its origin: the address, the version that the server reported, and the size of the
whole file. The server is asked for the missing bytes (Range, RFC 9110). If it sends the whole file, or another version
or size, the download starts again.
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
SLOWEST = 1000.0  # bytes per second; a slower server counts as silent
TEMPORARY = (408, 425, 429, 500, 502, 503, 504)  # temporary errors; all others are permanent

Progress = Callable[[int, int], None]  # bytes downloaded, and the size of the file (0: unknown)


class Interrupted(Exception):
    """The download ended early; another attempt, at this address or another, may continue it."""


class Unsuitable(Exception):
    """The address does not provide the file, and trying again would not help."""


class Origin(NamedTuple):
    address: str
    version: str  # the ETag or else the Last-Modified of the server; empty if it sends neither
    total: int  # bytes; 0 if unknown

    def may_continue(self, other: "Origin") -> bool:
        """Whether both may be the same file. Versions are compared only if they come from the same address."""
        versions_agree = self.version == other.version or self.address != other.address
        return versions_agree and self.total == other.total


class Part:
    """An open file with the bytes downloaded so far, and their origin."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file = path, file
        self.origin_path = path.with_name(f"{path.name}.json")
        self.held = os.fstat(file.fileno()).st_size  # bytes
        self.received = 0  # bytes downloaded by this command, kept or not
        self.origin: Origin | None = None
        try:
            address, version, total = json.loads(self.origin_path.read_text())
            self.origin = Origin(str(address), str(version), int(total))
        except (
            FileNotFoundError,
            ValueError,
            TypeError,
            OverflowError,
            RecursionError,
        ):
            pass  # the origin is unknown

    def begin(self, origin: Origin | None = None) -> None:
        """Discard the bytes downloaded so far, before bytes of another origin are added."""
        self.file.truncate(0)
        self.held, self.origin = 0, origin
        if origin:
            atomic_write(self.origin_path, lambda target: target.write(json.dumps(origin).encode()))

    def add(self, piece: bytes) -> None:
        self.file.write(piece)
        self.held += len(piece)
        self.received += len(piece)

    def remove(self) -> None:
        """Remove the files. The open file is not truncated, since another command may have given it its final name."""
        self.origin_path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


@contextmanager
def open_part(path: Path, say: Callable[[str], None]) -> Iterator[Part]:
    """Open the part at `path`, which may be new, and lock it if the file system has locks.

    Raises DataError if another command has locked it.
    """
    with path.open("a+b") as file:
        is_locked = lock(file, path, say)
        part = Part(path, file)
        remove_unfinished(path.parent, glob.escape(part.origin_path.name), is_locked)
        yield part


def receive(address: str, part: Part, sizes: range, patience: float, progress: Progress) -> bool:
    """Download the missing bytes of the part, or all bytes. Returns whether the download started from the first byte.

    sizes     possible sizes of the file in bytes; a server that announces another size, or sends more, is unsuitable
    patience  seconds to wait for a silent or very slow server

    Raises Interrupted or Unsuitable, with the reason in a few words, and OSError if the part cannot be written.
    """
    start, expected = part.held, f"{'at most ' if len(sizes) > 1 else ''}{sizes[-1]:,}"
    response, first_byte, origin = _ask(address, start, patience)
    if first_byte and not (first_byte == start and part.origin and origin.may_continue(part.origin)):
        response.close()
        response, first_byte, origin = _ask(address, 0, patience)
    with closing(response):
        if origin.total and origin.total not in sizes:  # for example a login page; keeps the part
            raise Unsuitable(f"it has {origin.total:,} bytes, but {expected} are expected")
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
    """Request the bytes from `start` on. Returns the response, the index of its first byte, and its origin."""
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
            phrase = http.client.responses.get(answer.code, "")  # not the text of the server, which is arbitrary
            kind = Interrupted if answer.code in TEMPORARY else Unsuitable
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
    """An opener that supports only HTTP and HTTPS, so that no redirection leads to a local file or to FTP."""
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
    """The pieces that the server sends. Raises Interrupted if it is silent or too slow."""
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
    """Turn the errors of the network into Interrupted, with the reason in a few words."""
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as problem:  # ValueError: an invalid address
        reason = getattr(problem, "reason", problem)
        if isinstance(reason, TimeoutError):
            raise Interrupted(f"it sent nothing for {patience:g} s") from None
        words = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        raise Interrupted(" ".join(words.split())) from None
