"""Fetching official files, from a server on this machine that behaves well, badly, and in between."""

import contextlib
import errno
import gzip
import hashlib
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from minilop.data import DataError, __main__, fetching, read_cifar100, read_training_set, transfers
from minilop.data.fetching import DOWNLOADS, Download, fetch
from minilop.data.idx import spellings
from minilop.data.official_files import OfficialFile
from minilop.data.printing import ProgressPrinter
from minilop.data.progress import download_progress

CONTENT = np.random.default_rng(0).bytes(300_000)  # does not get smaller when packed; several pieces of a transfer
OTHER = np.random.default_rng(1).bytes(300_000)  # of the same length
NAME = "file.bin"
HALF = 150_000
PATIENCE = 0.3  # seconds, where a server falls silent; more elsewhere, since this machine may be busy


class Server(ThreadingHTTPServer):
    """Answers each path as `answers` says: a list of functions of the handler, of which the last is used again."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.asked, self.closing = {}, [], threading.Event()

    def __getitem__(self, mirror):
        return f"http://127.0.0.1:{self.server_port}/{mirror}/"

    def __setitem__(self, mirror, answers):
        self.answers[f"/{mirror}/{NAME}"] = list(answers) if isinstance(answers, list) else [answers]

    @property
    def ranges(self):
        """Of the requests so far: the mirror and the Range that was asked for."""
        return [(path.split("/")[1], asked) for path, asked in self.asked]

    def handle_error(self, request, client_address):
        """A client that has gone away is what many of these tests want."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        answers = self.server.answers.get(self.path)
        if not answers:
            return fail(404)(self)
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def log_message(self, *arguments):
        pass


def give(content, version='"1"', ranges=True, announced=None, first=None, stop=None, stall=None, total=None):
    """An answer with the content, or the rest of it that was asked for.

    version    ETag, or None
    ranges     whether a Range is heeded
    announced  Content-Length that is claimed; False for none
    first      the first byte and
    total      the size that Content-Range claims
    stop       bytes after which the connection is closed
    stall      bytes after which nothing more comes
    """

    def answer(handler):
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", "")) if ranges else None
        start = int(asked[1]) if asked else 0
        if asked and start >= len(content):
            return fail(416)(handler)
        body = content[start:]
        handler.send_response(206 if asked else 200)
        if version:
            handler.send_header("ETag", version)
        if asked:
            begin = start if first is None else first
            handler.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{total or len(content)}")
        if announced is not False:
            handler.send_header("Content-Length", announced or len(body))
        handler.end_headers()
        handler.wfile.write(body[: stall if stall is not None else stop])
        handler.wfile.flush()
        if stall is not None:
            handler.server.closing.wait(60)
        handler.close_connection = True

    return answer


def fail(code):
    def answer(handler):
        handler.send_response(code, "a reason of its own")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def redirect(address):
    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", address)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


def official(content, name=NAME):
    return OfficialFile(name, len(content), hashlib.md5(content).hexdigest())


def plain(server, *mirrors, content=CONTENT):
    """A file whose checksum is its own, as that of CIFAR-100."""
    return Download(NAME, tuple(server[mirror] for mirror in mirrors), official(content))


def packed(server, *mirrors, content=CONTENT):
    """A file whose checksum is that of what it packs, as those of MNIST."""
    addresses = tuple(server[mirror] for mirror in mirrors)
    return Download(NAME, addresses, official(content), is_packed=True, also=spellings("file"))


def bring(download, folder, **options):
    fetch([download], folder, **{"patience": 20.0, **options})


def refused(download, folder, **options):
    """The one sentence with which fetching ends; there is no file under its final name."""
    with pytest.raises(DataError) as caught:
        bring(download, folder, **options)
    assert not (folder / NAME).exists()
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".")
    return sentence


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_fetched(folder, content=CONTENT):
    """The file is there, right, and alone."""
    assert (folder / NAME).read_bytes() == content
    assert names(folder) == [NAME]


# --- a server that behaves --------------------------------------------------------------------------------------------


@pytest.mark.quick
def test_a_file_is_fetched_whole_and_nothing_else_is_left(server, tmp_path):
    server["good"] = give(CONTENT)
    bring(plain(server, "good"), tmp_path / "new" / "folder")
    assert_fetched(tmp_path / "new" / "folder")
    assert server.ranges == [("good", None)]


@pytest.mark.quick
@pytest.mark.parametrize("length", ["none", "chunks"])
def test_a_server_need_not_say_how_long_the_file_is(server, tmp_path, length):
    def in_chunks(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for piece in (CONTENT[:HALF], CONTENT[HALF:], b""):
            handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")

    server["good"] = in_chunks if length == "chunks" else give(CONTENT, announced=False)
    bring(plain(server, "good"), tmp_path)
    assert_fetched(tmp_path)


@pytest.mark.quick
def test_progress_is_told_in_bytes_and_ends_with_all(server, tmp_path):
    server["good"] = give(CONTENT)
    told = []
    bring(plain(server, "good"), tmp_path, progress=lambda *arguments: told.append(arguments))
    assert len(told) >= 4 and told[-1] == (NAME, len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


@pytest.mark.quick
def test_a_redirection_is_followed_and_keeps_the_question_for_the_rest(server, tmp_path):
    server["moved"] = redirect(server["good"] + NAME)
    server["good"] = [give(CONTENT, stop=HALF), give(CONTENT)]
    bring(plain(server, "moved"), tmp_path)
    assert_fetched(tmp_path)
    assert server.ranges == [("moved", None), ("good", None), ("moved", "bytes=150000-"), ("good", "bytes=150000-")]


# --- what is there already --------------------------------------------------------------------------------------------


def test_a_file_that_is_there_is_not_asked_for_and_not_touched(server, tmp_path):
    (tmp_path / NAME).write_bytes(CONTENT)
    os.utime(tmp_path / NAME, ns=(1, 1))
    server["bad"] = give(OTHER)
    bring(plain(server, "bad"), tmp_path)
    assert_fetched(tmp_path)
    assert (tmp_path / NAME).stat().st_mtime_ns == 1 and server.asked == []


@pytest.mark.parametrize("name", ["file", "file.gz"])
def test_a_packed_file_may_be_there_unpacked_or_packed_in_another_way(server, tmp_path, name):
    (tmp_path / name).write_bytes(CONTENT if name == "file" else gzip.compress(CONTENT, 1))
    bring(packed(server, "absent"), tmp_path)
    assert server.asked == [] and names(tmp_path) == [name]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a subset", r"8 bytes instead of 300,000"),
        (CONTENT + b"\0", "more bytes instead of 300,000"),
        (OTHER, "md5 [0-9a-f]{32} instead of [0-9a-f]{32}"),
    ],
)
def test_another_file_under_the_name_is_never_replaced(server, tmp_path, content, words):
    """It may be a subset that the user has made."""
    server["good"] = give(CONTENT)
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(DataError, match=rf"file\.bin is not the official file \({words}\); move it away, then run"):
        bring(plain(server, "good"), tmp_path)
    assert (tmp_path / NAME).read_bytes() == content and server.asked == []


# --- a connection that breaks -----------------------------------------------------------------------------------------


def test_after_a_break_only_the_rest_is_asked_for(server, tmp_path):
    server["good"] = [give(CONTENT, stop=HALF), give(CONTENT, stop=100_000), give(CONTENT)]
    said = []
    bring(plain(server, "good"), tmp_path, say=said.append)
    assert_fetched(tmp_path)
    assert server.ranges == [("good", None), ("good", "bytes=150000-"), ("good", "bytes=250000-")]
    assert said[1] == "The download failed: the connection ended after 150,000 of 300,000 bytes."
    assert said[2] == f"Asking {server['good']}{NAME} to continue after 0.1 MB."


def test_another_command_goes_on_where_one_has_stopped(server, tmp_path):
    server["good"] = [give(CONTENT, stop=HALF), give(CONTENT, stop=0)]
    sentence = refused(plain(server, "good"), tmp_path)
    assert "try again later, to continue after 0.1 MB, or get it from there by other means" in sentence
    assert names(tmp_path) == [f"{NAME}.part", f"{NAME}.part.json"]
    server["good"] = give(CONTENT)
    server.asked.clear()
    bring(plain(server, "good"), tmp_path)
    assert_fetched(tmp_path)
    assert server.ranges == [("good", "bytes=150000-")]


def test_another_server_goes_on_where_one_has_stopped(server, tmp_path):
    """Mirrors name their versions differently; the checksum at the end tells whether the file was the same."""
    server["first"] = give(CONTENT, stop=HALF, version='"a"')
    server["second"] = give(CONTENT, version='"b"')
    bring(plain(server, "first", "second"), tmp_path)
    assert_fetched(tmp_path)
    assert server.ranges == [("first", None), ("second", "bytes=150000-")]


def test_a_server_that_gives_everything_again_is_taken_at_its_word(server, tmp_path):
    server["forgetful"] = [give(CONTENT, stop=HALF), give(CONTENT, ranges=False)]
    bring(plain(server, "forgetful"), tmp_path)
    assert_fetched(tmp_path)
    assert server.ranges == [("forgetful", None), ("forgetful", "bytes=150000-")]


NEW = CONTENT[::-1]


@pytest.mark.parametrize(
    "rest",
    [
        give(NEW, version='"2"'),
        give(NEW, total=300_001),
        give(NEW, first=0),
        give(NEW, first=HALF - 1),
        fail(416),
    ],
    ids=["another version", "another size", "from the beginning", "one byte too early", "no such bytes"],
)
def test_a_file_that_has_changed_meanwhile_begins_anew(server, tmp_path, rest):
    """At once: nothing of the new file is put behind the old one's half, for the checksum to find out at the end."""
    server["changed"] = [give(OTHER, stop=HALF), rest, give(NEW, version='"2"')]
    told = []
    bring(plain(server, "changed", content=NEW), tmp_path, progress=lambda name, done, total: told.append(done))
    assert_fetched(tmp_path, NEW)
    assert server.ranges == [("changed", None), ("changed", "bytes=150000-"), ("changed", None)]
    assert told[told.index(HALF) + 1] < HALF and told.count(len(NEW)) == 1


def test_a_change_that_nothing_shows_is_found_by_the_checksum(server, tmp_path):
    """The server names no version: half of an old file and half of a new one fit by their size."""
    server["changed"] = [give(OTHER, stop=HALF, version=None), give(CONTENT, version=None)]
    bring(plain(server, "changed"), tmp_path)
    assert_fetched(tmp_path)
    assert server.ranges == [("changed", None), ("changed", "bytes=150000-"), ("changed", None)]


@pytest.mark.parametrize("origin", [None, "", "no json", "[]", '["http://x", "1", "many"]', "{}"])
def test_a_part_of_unknown_origin_is_not_gone_on_with(server, tmp_path, origin):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:1000])
    if origin is not None:
        (tmp_path / f"{NAME}.part.json").write_text(origin)
    server["good"] = give(CONTENT)
    bring(plain(server, "good"), tmp_path)
    assert_fetched(tmp_path)
    assert server.ranges == [("good", None)]


def test_a_part_that_lacks_nothing_but_its_name_gets_it_without_a_server(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT)
    bring(plain(server, "good"), tmp_path)
    assert_fetched(tmp_path)
    assert server.asked == []


def test_a_process_that_is_killed_leaves_a_part_and_no_file(server, tmp_path):
    server["stalling"] = give(CONTENT, stall=HALF)
    program = (
        "import sys; from minilop.data.fetching import *; name, address, size, md5, folder = sys.argv[1:]\n"
        "fetch([Download(name, (address,), OfficialFile(name, int(size), md5))], folder, "
        "progress=lambda name, done, total: print(done, flush=True))"
    )
    download = plain(server, "stalling")
    arguments = [NAME, server["stalling"], str(len(CONTENT)), download.official.md5, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(fetching.__file__).parents[2])}
    command = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        for line in process.stdout:
            if int(line) == HALF:
                break
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert names(tmp_path) == [f"{NAME}.part", f"{NAME}.part.json"]
    server["stalling"] = give(CONTENT)
    bring(download, tmp_path)
    assert_fetched(tmp_path)
    (_, _), (_, asked) = server.ranges
    assert 0 < int(asked.removeprefix("bytes=").removesuffix("-")) <= HALF  # what was still in its memory is lost


# --- servers that are no use ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (fail(404), "it answered 404 Not Found"),
        (fail(500), "it answered 500 Internal Server Error"),
        (fail(599), "it answered 599"),
        (fail(204), "its answer 204 is not understood"),
        (give(OTHER), "it is not the official file: md5 "),
        (give(b"<html>Please sign in.</html>"), "it has 28 bytes, but 300,000 are expected"),
        (give(CONTENT + b"\0"), "it has 300,001 bytes, but 300,000 are expected"),
        (give(CONTENT + bytes(1000), announced=False), "it sends more bytes than 300,000"),
        (give(CONTENT, announced=1000), "it has 1,000 bytes, but 300,000 are expected"),
        (give(CONTENT[:1000], announced=False), "it is not the official file: 1,000 bytes instead of 300,000"),
        (give(CONTENT, stall=0), "it sent nothing for 0.3 s"),
        (give(CONTENT, stop=0), "the connection ended after 0 of 300,000 bytes"),
        (redirect("file:///etc/passwd"), "it answered 302 Found"),
        (redirect("ftp://127.0.0.1/file"), "unknown url type: ftp"),
        (redirect("http://127.0.0.1:0/none"), ""),
        (redirect(f"../bad/{NAME}"), "it answered 302 Found"),  # to itself, without end
        (lambda handler: handler.wfile.write(b"no HTTP\r\n\r\n"), "no HTTP"),
        (lambda handler: None, "Remote end closed connection without response"),
    ],
)
def test_a_server_that_is_no_use_is_passed_over(server, tmp_path, answer, words):
    server["bad"] = lambda handler: (answer(handler), setattr(handler, "close_connection", True))
    server["good"] = give(CONTENT)
    said = []
    bring(plain(server, "bad", "good"), tmp_path, patience=PATIENCE, say=said.append)
    assert_fetched(tmp_path)
    assert server.ranges[-1] == ("good", None)
    assert said[1].startswith("The download failed: ") and words in said[1]
    assert "reason of its own" not in said[1]


def test_a_page_that_asks_to_sign_in_does_not_cost_what_was_reached(server, tmp_path):
    server["breaking"] = give(CONTENT, stop=HALF)
    server["portal"] = give(b"<html>Please sign in.</html>", ranges=False)
    server["good"] = give(CONTENT)
    bring(plain(server, "breaking", "portal", "good"), tmp_path)
    assert_fetched(tmp_path)
    assert server.ranges[-1] == ("good", "bytes=150000-")


def test_a_server_that_falls_silent_is_left_after_a_while_and_another_goes_on(server, tmp_path):
    server["stalling"] = give(CONTENT, stall=HALF)
    server["good"] = give(CONTENT)
    began = time.monotonic()
    bring(plain(server, "stalling", "good"), tmp_path, patience=PATIENCE)
    assert PATIENCE <= time.monotonic() - began < 5
    assert_fetched(tmp_path)
    assert server.ranges == [("stalling", None), ("good", "bytes=150000-")]


def test_a_server_that_only_trickles_is_left_too(server, tmp_path, monkeypatch):
    """Every single wait is shorter than the patience, 0.6 s."""

    def trickle(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        for byte in CONTENT[:200]:
            handler.wfile.write(bytes([byte]))
            time.sleep(0.02)

    server["trickling"] = trickle
    server["good"] = give(CONTENT)
    said = []
    bring(plain(server, "trickling", "good"), tmp_path, patience=0.6, say=said.append)
    assert_fetched(tmp_path)
    assert re.fullmatch(r"The download failed: it sent only \d+ bytes in \d s\.", said[1])


def test_a_server_that_announces_more_than_it_has_is_believed_for_what_it_gave(server, tmp_path):
    """A wrong length in the answer does not make a right file wrong."""
    content = gzip.compress(CONTENT)
    server["boasting"] = give(content, announced=len(content) + 7)
    bring(packed(server, "boasting"), tmp_path)
    assert_fetched(tmp_path, content)


def test_a_server_that_fails_for_good_is_not_asked_again_but_one_that_breaks_off_is(server, tmp_path):
    server["absent"] = fail(404)
    server["breaking"] = [give(CONTENT, stop=50_000) for _ in range(5)] + [give(CONTENT)]
    bring(plain(server, "absent", "breaking"), tmp_path)
    assert_fetched(tmp_path)
    assert [mirror for mirror, _ in server.ranges] == ["absent"] + ["breaking"] * 6


def test_servers_that_give_nothing_are_asked_once(server, tmp_path):
    server["busy"] = fail(503)
    assert "it answered 503 Service Unavailable" in refused(plain(server, "busy", "busy"), tmp_path)
    assert len(server.asked) == 2


def test_a_server_that_breaks_off_for_ever_is_given_up(server, tmp_path):
    server["breaking"] = give(CONTENT, ranges=False, stop=HALF)
    assert "the connection ended after 150,000 of 300,000 bytes" in refused(plain(server, "breaking"), tmp_path)
    assert len(server.asked) == fetching.ROUNDS


def test_when_no_server_gives_the_file_a_sentence_tells_how_to_get_it_by_hand(server, tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        download = plain(server, "absent")._replace(addresses=(closed, server["absent"]))
        sentence = refused(download, tmp_path / "data")
    assert sentence == (
        f"{NAME} could not be downloaded from {closed}{NAME} (Connection refused) or {server['absent']}{NAME} "
        "(it answered 404 Not Found): try again later, or get it from there by other means (300,000 bytes, "
        f"md5 {download.official.md5}) and put it into {tmp_path / 'data'}."
    )
    assert names(tmp_path / "data") == []


def test_a_name_that_is_not_known_is_told_as_the_system_tells_it(tmp_path, monkeypatch):
    def unknown(*arguments, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setenv("no_proxy", "*")
    download = Download(NAME, ("https://no.such.server/",), official(CONTENT))
    assert f"https://no.such.server/{NAME} (Name or service not known)" in refused(download, tmp_path)


# --- packed files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 9])
def test_a_packed_file_may_be_packed_in_any_way(server, tmp_path, level):
    server["good"] = give(gzip.compress(CONTENT, level))
    bring(packed(server, "good"), tmp_path)
    assert gzip.decompress((tmp_path / NAME).read_bytes()) == CONTENT


def test_a_server_may_unpack_what_it_sends(server, tmp_path):
    server["unpacking"] = give(CONTENT)
    bring(packed(server, "unpacking"), tmp_path)
    assert_fetched(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(OTHER), "it is not the official file: md5 "),
        (gzip.compress(CONTENT)[:-4], "it is not the official file: a damaged gzip file: it ends early"),
        (
            gzip.compress(CONTENT)[:-8] + bytes(8),
            "it is not the official file: a damaged gzip file: its checksum or its size",
        ),
        (gzip.compress(CONTENT[:-1]), "it is not the official file: 299,999 bytes instead of 300,000"),
        (gzip.compress(bytes(10**7)), "it is not the official file: more bytes instead of 300,000"),
        (bytes(310_000), "it has 310,000 bytes, but at most 301,300 are expected"),
    ],
)
def test_a_packed_file_of_other_content_is_refused(server, tmp_path, content, words):
    server["bad"] = give(content)
    assert words in refused(packed(server, "bad"), tmp_path)
    assert names(tmp_path) == []


# --- a disk that fails ------------------------------------------------------------------------------------------------


def test_a_disk_without_room_is_said_before_anything_is_written(server, tmp_path, monkeypatch):
    server["good"] = give(CONTENT)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 299_999))
    sentence = refused(plain(server, "good"), tmp_path)
    assert f"{tmp_path} cannot be read or written (0.3 MB more are needed); make room or choose another" in sentence
    assert names(tmp_path) == []


def test_a_disk_that_fills_up_leaves_the_files_there_were_and_what_can_be_gone_on_with(server, tmp_path, monkeypatch):
    server["good"] = give(CONTENT)
    (tmp_path / "earlier").write_bytes(OTHER)
    earlier = Download("earlier", (server["good"],), official(OTHER, "earlier"))
    add = transfers.Part.add

    def full(part, piece):
        if part.held + len(piece) > HALF:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        add(part, piece)

    with monkeypatch.context() as patched:
        patched.setattr(transfers.Part, "add", full)
        with pytest.raises(DataError, match=r"No space left on device\); make room or choose another --out, then run"):
            fetch([earlier, plain(server, "good")], tmp_path)
    assert names(tmp_path) == ["earlier", f"{NAME}.part", f"{NAME}.part.json"]
    bring(plain(server, "good"), tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT and (tmp_path / "earlier").read_bytes() == OTHER
    assert server.ranges[1][1].startswith("bytes=")


def test_nothing_gets_its_name_before_it_is_on_the_disk(server, tmp_path, monkeypatch):
    def failing(file):
        assert names(tmp_path) == [f"{NAME}.part", f"{NAME}.part.json"]
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    server["good"] = give(CONTENT)
    with monkeypatch.context() as patched:
        patched.setattr(fetching, "sync", failing)
        assert "Input/output error" in refused(plain(server, "good"), tmp_path)
    bring(plain(server, "good"), tmp_path)
    assert_fetched(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/out cannot be read or written \(Not a directory\); a file is in its"):
        bring(plain(server, "good"), tmp_path / "file" / "out")
    assert server.asked == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(server, tmp_path):
    tmp_path.chmod(0o500)
    assert "cannot be read or written (Permission denied)" in refused(plain(server, "good"), tmp_path)


# --- two commands -----------------------------------------------------------------------------------------------------


def test_two_commands_do_not_write_one_part(server, tmp_path):
    pytest.importorskip("fcntl")
    server["good"] = give(CONTENT)
    told = []

    def second(name, done, total):
        if not told:
            told.append(refused(plain(server, "good"), tmp_path))

    bring(plain(server, "good"), tmp_path, progress=second)
    assert_fetched(tmp_path)
    assert f"{NAME}.part is being written by another command; wait for it" in told[0]


@pytest.mark.parametrize("renamed", ["before the part is opened", "before it is locked"])
def test_a_file_that_another_command_brings_meanwhile_is_left_alone(server, tmp_path, monkeypatch, renamed):
    """Between our look for the file and our lock. In the second case our open part is then that file."""
    final, part_path = tmp_path / NAME, tmp_path / f"{NAME}.part"
    part_path.write_bytes(CONTENT)
    open_part = transfers.open_part

    @contextlib.contextmanager
    def late(path, say):
        if renamed == "before the part is opened":
            os.replace(part_path, final)
        with open_part(path, say) as part:
            if renamed == "before it is locked":
                os.replace(part_path, final)
            yield part

    monkeypatch.setattr(fetching, "open_part", late)
    bring(plain(server, "good"), tmp_path)
    assert_fetched(tmp_path)
    assert server.asked == []


def test_a_file_that_another_command_names_first_is_whole_all_the_same(server, tmp_path, monkeypatch):
    """Between the end of our lock and our renaming another command may find the part whole."""
    replace = os.replace

    def twice(source, target):
        replace(source, target)
        if str(source).endswith(".part"):
            replace(source, target)

    server["good"] = give(CONTENT)
    monkeypatch.setattr(os, "replace", twice)
    bring(plain(server, "good"), tmp_path)
    assert_fetched(tmp_path)


# --- the command ------------------------------------------------------------------------------------------------------


def idx(array):
    array = np.asarray(array, np.uint8)
    return bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()


@pytest.fixture
def small_sets(server, monkeypatch):
    """Sets of the official names and layouts, but of three pictures, behind the command's own table."""
    digits = {
        "train-images-idx3-ubyte": idx(np.arange(3 * 28 * 28).reshape(3, 28, 28) % 251),
        "train-labels-idx1-ubyte": idx([5, 0, 9]),
    }
    records = b"".join(bytes([0, label]) + bytes([label]) * 3072 for label in (1, 42, 99))
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for part in ("train", "test"):
            entry = tarfile.TarInfo(f"cifar-100-binary/{part}.bin")
            entry.size = len(records)
            tar.addfile(entry, io.BytesIO(records))
    files = {f"{name}.gz": gzip.compress(content) for name, content in digits.items()}
    files["cifar-100-binary.tar.gz"] = archive.getvalue()
    table = {}
    for dataset, downloads in DOWNLOADS.items():
        table[dataset] = tuple(
            download._replace(
                addresses=(server["absent"], server["good"]),
                official=official(digits.get(download.official.name, files[download.name]), download.official.name),
            )
            for download in downloads
        )
        monkeypatch.setitem(fetching.DOWNLOADS, dataset, table[dataset])
    for name, content in files.items():
        server.answers[f"/good/{name}"] = [give(content)]
    return server


def command(*arguments):
    return CliRunner().invoke(__main__.main, ["fetch", *map(str, arguments)])


@pytest.mark.parametrize("dataset", DOWNLOADS)
def test_what_the_command_fetches_is_found_by_its_reader(small_sets, tmp_path, dataset):
    result = command(dataset, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == f"{dataset} is in {tmp_path / dataset}; use it with --data {tmp_path}."
    if dataset == "cifar100":
        images, labels = read_cifar100(tmp_path, "test")
        assert labels.tolist() == [1, 42, 99] and images[2].min() == 99
    else:
        images, labels = read_training_set(tmp_path, dataset)
        assert labels.tolist() == [5, 0, 9] and images[0, 0, :3].tolist() == [0, 1, 2]
    asked = len(small_sets.asked)
    again = command(dataset, "--out", tmp_path)
    assert again.exit_code == 0 and "already exists." in again.output and len(small_sets.asked) == asked


def test_the_command_says_line_by_line_what_happens(small_sets, tmp_path):
    result = command("cifar100", "--out", tmp_path)
    path = tmp_path / "cifar100" / "cifar-100-binary.tar.gz"
    assert result.output.splitlines() == [
        f"Asking {small_sets['absent']}{path.name}.",
        "The download failed: it answered 404 Not Found.",
        f"Asking {small_sets['good']}{path.name}.",
        f"{path} is complete and has the published checksum.",
        f"cifar100 is in {path.parent}; use it with --data {tmp_path}.",
    ]


def test_the_command_ends_with_a_sentence_where_nothing_could_be_fetched(small_sets, tmp_path):
    small_sets.answers.clear()
    result = command("mnist", "--out", tmp_path)
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].startswith(
        "Error: train-images-idx3-ubyte.gz could not be downloaded from http"
    )
    assert "(2,368 bytes unpacked, md5 " in result.output
    assert f"and put it into {tmp_path / 'mnist'}." in result.output


def test_an_interrupted_command_says_that_it_can_go_on_and_does(small_sets, tmp_path, monkeypatch):
    def pressed(printer):
        def progress(name, done, total):
            raise KeyboardInterrupt

        return progress

    with monkeypatch.context() as patched:
        patched.setattr(__main__, "download_progress", pressed)
        result = command("fashion_mnist", "--out", tmp_path)
    assert result.exit_code == 130
    assert "completed work is kept. Run the same command again to continue." in result.output
    assert (tmp_path / "fashion_mnist" / "train-images-idx3-ubyte.gz.part").exists()
    assert command("fashion_mnist", "--out", tmp_path).exit_code == 0
    assert len(read_training_set(tmp_path, "fashion_mnist")[1]) == 3


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_the_command_ends_with_a_sentence_if_its_output_cannot_be_written():
    program = (
        "import click\nfrom minilop.data.__main__ import _printer\n@click.command()\ndef command():\n"
        "    with _printer() as printer:\n        printer.say('a line')\ncommand()"
    )
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert done.returncode == 1
    assert done.stderr.decode() == (
        "Error: The output cannot be written (No space left on device); send it elsewhere.\n"
    )


def test_an_unknown_set_is_answered_with_those_there_are(tmp_path):
    result = command("imagenet", "--out", tmp_path)
    assert result.exit_code == 2
    assert "'mnist', 'fashion_mnist', 'cifar100'" in result.output


def test_the_table_of_files_is_well_formed():
    for downloads in DOWNLOADS.values():
        for download in downloads:
            assert len(download.addresses) >= 2  # one server may be down
            assert all(re.fullmatch(r"https?://\S+/", address) for address in download.addresses)
            assert re.fullmatch("[0-9a-f]{32}", download.official.md5) and download.official.size > 0
            assert not download.is_packed or download.name in download.also
    assert [download.name for download in DOWNLOADS["mnist"]] == [
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
    ]


# --- how far it is ----------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes only when told to."""
    now = 100.0

    def advance(seconds):
        nonlocal now
        now += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now)
    return advance


def test_without_a_terminal_a_line_comes_now_and_then(clock, capsys):
    progress = download_progress(ProgressPrinter(sys.stdout))
    for done in range(0, 60_000_001, 1_000_000):
        progress("images.gz", done, 120_000_000)
        clock(1)
    assert capsys.readouterr().out.splitlines() == [
        f"images.gz: {done}.0 of 120.0 MB, about {round((120 - done) / 60)} min left" for done in range(10, 61, 10)
    ]


def test_on_a_terminal_progress_is_overwritten_and_a_line_that_stays_clears_it(clock, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "15")
    printer = ProgressPrinter(sys.stdout)
    printer.is_terminal = True
    progress = download_progress(printer)
    for done in (0, 1_000_000, 2_000_000):
        clock(0.15)
        progress("images.gz", done, 0)
    clock(0.15)
    progress("images.gz", 3_000_000, 0)
    printer.say("Done.")
    assert capsys.readouterr().out == (  # at most five a second, each shorter than the terminal is wide
        f"\rimages.gz: 1.0\rimages.gz: 3.0\r{' ' * 14}\rDone.\n"
    )


def test_the_time_left_is_that_of_this_transfer_not_of_an_earlier_one(clock, capsys):
    """Of 100 MB, 60 were there before; 10 more took 60 s, so the other 30 take 180 s."""
    progress = download_progress(ProgressPrinter(sys.stdout))
    progress("a", 60_000_000, 100_000_000)
    clock(60)
    progress("a", 70_000_000, 100_000_000)
    assert capsys.readouterr().out == "a: 70.0 of 100.0 MB, about 3 min left\n"
