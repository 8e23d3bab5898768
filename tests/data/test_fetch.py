"""Downloads from servers that misbehave."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from plainspeech.data.download import fetch
from plainspeech.errors import PlainspeechError

CONTENT = bytes(range(256)) * 4000
MD5 = hashlib.md5(CONTENT).hexdigest()
HALF = len(CONTENT) // 2


def start_of(handler: BaseHTTPRequestHandler) -> int:
    return int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))


def answer(
    handler: BaseHTTPRequestHandler, body: bytes, start: int = 0, length: int | None = None
) -> None:
    """Send ``body``, which begins at byte ``start``, under a true or a false length."""
    handler.send_response(206 if start else 200)
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


def ranges(handler: BaseHTTPRequestHandler) -> None:
    start = start_of(handler)
    if start >= len(CONTENT):
        handler.send_error(416)
    else:
        answer(handler, CONTENT[start:], start)


def cuts_every_100_000(handler: BaseHTTPRequestHandler) -> None:
    start = start_of(handler)
    if start >= len(CONTENT):
        handler.send_error(416)
    else:
        answer(handler, CONTENT[start : start + 100_000], start, length=len(CONTENT) - start)


def ignores_ranges(handler: BaseHTTPRequestHandler) -> None:
    answer(handler, CONTENT)


def ignores_ranges_and_cuts(handler: BaseHTTPRequestHandler) -> None:
    answer(handler, CONTENT[:HALF], length=len(CONTENT))


def mistakes_ranges(handler: BaseHTTPRequestHandler) -> None:
    """Claim a partial answer that begins elsewhere than asked; without a range, be right."""
    answer(handler, CONTENT[7:] if start_of(handler) else CONTENT, 7 if start_of(handler) else 0)


def tells_too_long(handler: BaseHTTPRequestHandler) -> None:
    answer(handler, CONTENT, length=len(CONTENT) + 5000)


def tells_too_short(handler: BaseHTTPRequestHandler) -> None:
    answer(handler, CONTENT, length=HALF)


def tells_no_length(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(CONTENT)


def corrupt(handler: BaseHTTPRequestHandler) -> None:
    answer(handler, b"x" + CONTENT[1:])


def corrupt_and_cuts(handler: BaseHTTPRequestHandler) -> None:
    start = start_of(handler)
    body = (b"x" + CONTENT[1:])[start : start + HALF]
    answer(handler, body, start, length=len(CONTENT) - start)


def mistakes_ranges_and_cuts(handler: BaseHTTPRequestHandler) -> None:
    start = 7 if start_of(handler) else 0
    answer(handler, CONTENT[start:HALF], start, length=len(CONTENT) - start)


def begins_late(handler: BaseHTTPRequestHandler) -> None:
    answer(handler, CONTENT[7:], 7)


def missing(handler: BaseHTTPRequestHandler) -> None:
    handler.send_error(404)


def overloaded(handler: BaseHTTPRequestHandler) -> None:
    handler.send_error(503)


class Mirror:
    """A server, and the requests it had."""

    def __init__(self, behaviour: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.starts: list[int] = []
        self.behaviour = behaviour
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.starts.append(start_of(self))
                try:
                    mirror.behaviour(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/corpus.tar.gz"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


Serve = Callable[[Callable[[BaseHTTPRequestHandler], None]], Mirror]


@pytest.fixture
def serve() -> Iterator[Serve]:
    mirrors: list[Mirror] = []

    def make(behaviour: Callable[[BaseHTTPRequestHandler], None]) -> Mirror:
        mirrors.append(Mirror(behaviour))
        return mirrors[-1]

    yield make
    for mirror in mirrors:
        mirror.close()


def get(path: Path, *mirrors: Mirror) -> list[tuple[int, int | None]]:
    """Fetch, and return what was reported."""
    reports: list[tuple[int, int | None]] = []
    urls = [mirror.url for mirror in mirrors]
    fetch(urls, path, MD5, lambda done, total: reports.append((done, total)), pause=0)
    return reports


@pytest.mark.parametrize(
    "behaviour",
    [ranges, cuts_every_100_000, ignores_ranges, mistakes_ranges, tells_too_long, tells_no_length],
)
@pytest.mark.parametrize("part", [b"", CONTENT[:HALF], b"stale" * 1000, CONTENT + b"more", CONTENT])
def test_whatever_lies_there_the_file_becomes_whole(
    serve: Serve, tmp_path: Path, behaviour: Callable[[BaseHTTPRequestHandler], None], part: bytes
) -> None:
    path = tmp_path / "sub" / "corpus.tar.gz.part"
    path.parent.mkdir()
    path.write_bytes(part)
    get(path, serve(behaviour))
    assert path.read_bytes() == CONTENT


def test_a_broken_connection_is_taken_up_where_it_broke(serve: Serve, tmp_path: Path) -> None:
    mirror = serve(cuts_every_100_000)
    reports = get(tmp_path / "part", mirror)
    assert mirror.starts == list(range(0, len(CONTENT), 100_000))
    assert reports[-1] == (len(CONTENT), len(CONTENT))
    assert {total for _, total in reports} == {len(CONTENT)}


def test_a_whole_file_asks_no_server(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(CONTENT)
    mirror = serve(ranges)
    get(tmp_path / "part", mirror)
    assert mirror.starts == []


def test_the_next_mirror_goes_on_where_the_first_gave_up(serve: Serve, tmp_path: Path) -> None:
    first, second = serve(ignores_ranges_and_cuts), serve(ranges)
    get(tmp_path / "part", first, second)
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert second.starts == [HALF]


@pytest.mark.parametrize(
    "behaviour",
    [
        corrupt,
        corrupt_and_cuts,
        mistakes_ranges_and_cuts,
        begins_late,
        tells_too_short,
        missing,
        overloaded,
    ],
)
def test_a_useless_mirror_is_passed_over(
    serve: Serve, tmp_path: Path, behaviour: Callable[[BaseHTTPRequestHandler], None]
) -> None:
    second = serve(ranges)
    get(tmp_path / "part", serve(behaviour), second)
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert second.starts == [0]


def test_what_is_corrupt_is_deleted_and_told(serve: Serve, tmp_path: Path) -> None:
    mirror = serve(corrupt)
    with pytest.raises(PlainspeechError, match=r"corrupt, its MD5 checksum is wrong"):
        get(tmp_path / "part", mirror)
    assert not (tmp_path / "part").exists()
    assert mirror.starts == [0]


def test_every_mirror_is_named_with_its_reason_in_one_line(serve: Serve, tmp_path: Path) -> None:
    mirrors = [serve(missing), serve(overloaded), serve(corrupt)]
    with pytest.raises(PlainspeechError) as caught:
        get(tmp_path / "part", *mirrors)
    message = str(caught.value)
    assert "\n" not in message
    for mirror, reason in zip(mirrors, ("404", "503", "corrupt"), strict=True):
        assert mirror.url in message
        assert reason in message
    assert [len(mirror.starts) for mirror in mirrors] == [1, 3, 1]


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(PlainspeechError, match="refused"):
        fetch([f"http://127.0.0.1:{port}/x"], tmp_path / "part", MD5, lambda *_: None, pause=0)
    assert list(tmp_path.iterdir()) == []


def test_a_fault_of_the_disk_is_no_fault_of_the_mirror(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    mirror = serve(ranges)
    with pytest.raises(PlainspeechError, match="cannot write the download"):
        get(tmp_path / "file" / "part", mirror)
    assert mirror.starts == []
