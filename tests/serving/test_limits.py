"""Queue, limits, time-outs and token; what uploads do to a real server."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers import PATH, PATIENCE, Blocked, Running, Speak, eventually, running, wav
from websockets.sync.client import connect

from plainspeech.serving.capacity import Capacity
from plainspeech.serving.metrics import Metrics
from plainspeech.serving.server_settings import ServerSettings

FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'


@pytest.fixture(scope="module")
def clip(spoken: Speak) -> bytes:
    return wav(spoken("good deed"))


def error_of(response: httpx.Response) -> dict[str, object]:
    """Return the error, which has OpenAI's shape."""
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"].endswith(".")
    assert isinstance(error, dict)
    return error


def raw(server: Running, head: str, body: bytes = b"", version: str = "1.1") -> socket.socket:
    """Begin a request by hand."""
    host, port = server.netloc.split(":")
    connection = socket.create_connection((host, int(port)), timeout=PATIENCE)
    kind = "Content-Type: multipart/form-data; boundary=x"
    connection.sendall(
        f"POST {PATH} HTTP/{version}\r\nHost: localhost\r\n{kind}\r\n{head}\r\n\r\n".encode()
    )
    connection.sendall(body)
    return connection


def answer(connection: socket.socket) -> httpx.Response:
    """Read until the server closes."""
    content = b""
    while part := connection.recv(65_536):
        content += part
    head, _, body = content.partition(b"\r\n\r\n")
    return httpx.Response(int(head.split()[1]), content=body)


def test_a_full_queue_is_429_with_retry_after(tone_bundle: Path, clip: bytes) -> None:
    model = Blocked(tone_bundle)
    with running(model, queue=2, wait_seconds=0) as server, ThreadPoolExecutor(2) as pool:
        model.gate.clear()
        accepted = [pool.submit(server.transcribe, clip) for _ in range(2)]
        assert eventually(lambda: server.engine.capacity.uploads == 2)
        refused = server.transcribe(clip)
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
        assert error_of(refused)["code"] == "queue_full"
        assert server.client.get("/health").status_code == 200
        model.gate.set()
        assert [r.result().json() for r in accepted] == [{"text": "good deed"}] * 2
        assert server.transcribe(clip).status_code == 200
        assert server.is_at_rest()


def test_waiting_uploads_leave_threads_for_everything_else(tone_bundle: Path, clip: bytes) -> None:
    model = Blocked(tone_bundle)
    with running(model) as server, ThreadPoolExecutor(50) as pool:
        model.gate.clear()
        waiting = [pool.submit(httpx.post, **upload(server, clip)) for _ in range(50)]
        try:
            assert eventually(lambda: server.engine.capacity.uploads == 50)
            with connect(f"ws://{server.netloc}/v1/stream") as client:
                client.send(bytes(32_000))
                client.send('{"type": "end"}')
                assert [json.loads(message)["type"] for message in client] == ["ready", "done"]
        finally:
            model.gate.set()
        assert {future.result().status_code for future in waiting} == {200}


def upload(server: Running, clip: bytes) -> dict[str, Any]:
    """Return the arguments of a request of its own connection."""
    files, data = {"file": clip}, {"model": "tones"}
    return {
        "url": f"http://{server.netloc}{PATH}",
        "files": files,
        "data": data,
        "timeout": PATIENCE,
    }


def test_a_request_that_takes_too_long_is_504(tone_bundle: Path, clip: bytes) -> None:
    model = Blocked(tone_bundle)
    with running(model, request_seconds=2.0) as server:
        model.gate.clear()
        response = server.transcribe(clip)
        assert response.status_code == 504
        assert error_of(response)["code"] == "timeout"
        model.gate.set()
        assert server.is_at_rest()
        assert server.transcribe(clip).json() == {"text": "good deed"}


def test_a_client_that_leaves_frees_its_place(tone_bundle: Path, clip: bytes) -> None:
    model = Blocked(tone_bundle)
    with running(model) as server:
        model.gate.clear()
        brief = httpx.Timeout(PATIENCE, read=0.3)
        files, data = {"file": clip}, {"model": "whisper-1"}
        with pytest.raises(httpx.ReadTimeout):
            server.client.post(PATH, files=files, data=data, timeout=brief)
        assert server.is_at_rest()
        model.gate.set()
        assert server.transcribe(clip).json() == {"text": "good deed"}


@pytest.fixture(scope="module")
def lasting(tone_bundle: Path) -> Iterator[Running]:
    with running(tone_bundle, upload_bytes=2_000_000, silence_seconds=1.0) as server:
        yield server


@pytest.fixture
def limited(lasting: Running, clip: bytes) -> Iterator[Running]:
    """Holds nothing after a test, and still answers."""
    yield lasting
    assert lasting.is_at_rest()
    assert lasting.transcribe(clip).json() == {"text": "good deed"}


def test_an_upload_that_is_too_large(limited: Running) -> None:
    response = limited.transcribe(bytes(3_000_000))
    assert response.status_code == 413
    assert error_of(response)["code"] == "upload_too_large"


def test_ten_gigabytes_declared(limited: Running) -> None:
    with raw(limited, "Content-Length: 10000000000", FORM) as connection:
        assert b"413" in connection.recv(1_000)  # before anything more is sent


def test_chunks_without_end(limited: Running) -> None:
    chunk = b"10000\r\n" + bytes(65_536) + b"\r\n"
    with raw(limited, "Transfer-Encoding: chunked", b"%x\r\n%s\r\n" % (len(FORM), FORM)) as c:
        for _ in range(60):  # 4 MB; what is refused is read on for a moment
            c.sendall(chunk)
        assert answer(c).status_code == 413


def test_less_than_was_declared_and_silence(limited: Running) -> None:
    with raw(limited, "Content-Length: 1000000", FORM + bytes(1_500_000 - 1_000_000)) as c:
        response = answer(c)
    assert response.status_code == 408
    assert error_of(response)["code"] == "upload_timeout"


def test_a_client_that_leaves_in_the_middle(limited: Running) -> None:
    with raw(limited, "Content-Length: 1900000", FORM + bytes(1_500_000)):
        assert eventually(lambda: limited.engine.capacity.uploads == 1)


def test_a_client_that_sends_nothing_or_half_a_header(limited: Running) -> None:
    host, port = limited.netloc.split(":")
    for begun in (b"", b"POST /v1/audio"):
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
            connection.sendall(begun)
            assert connection.recv(1_000) == b""
    head = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        connection.sendall(head + b"\r\n" + head)  # of the second, nothing more comes
        assert answer(connection).json()["status"] == "ready"


def test_a_client_that_sends_a_byte_now_and_then(tone_bundle: Path) -> None:
    with running(tone_bundle, request_seconds=0.5) as server:
        with raw(server, "Content-Length: 1000000", FORM) as connection:
            threading.Thread(target=trickle, args=(connection,), daemon=True).start()
            assert b"504" in connection.recv(1_000)
        assert server.is_at_rest()


def trickle(connection: socket.socket, data: bytes = b"\x00") -> None:
    try:
        while True:
            connection.sendall(data)
            time.sleep(0.05)
    except OSError:
        return


@pytest.fixture(scope="module")
def guarded(tone_bundle: Path) -> Iterator[Running]:
    with running(tone_bundle, token="sesame") as server:
        yield server


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer", "Basic sesame", "sesame"])
@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/v1/nothing"])
def test_it_is_needed(guarded: Running, path: str, header: str | None) -> None:
    response = guarded.client.get(path, headers={"Authorization": header} if header else None)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert error_of(response)["code"] == "invalid_api_key"


def test_nothing_is_read_without_it(guarded: Running) -> None:
    with raw(guarded, "Content-Length: 1000000", FORM) as connection:
        assert b"401" in connection.recv(1_000)


def test_it_opens(guarded: Running, clip: bytes) -> None:
    headers = {"Authorization": "Bearer sesame"}
    assert guarded.client.get("/v1/models", headers=headers).status_code == 200
    assert guarded.client.get("/metrics", headers=headers).status_code == 200
    files, data = {"file": clip}, {"model": "whisper-1"}
    response = guarded.client.post(PATH, files=files, data=data, headers=headers)
    assert response.json() == {"text": "good deed"}


def test_health_needs_none(guarded: Running) -> None:
    assert guarded.client.get("/health").json() == {"status": "ready", "model": "tones"}


# ---- Slow clients, fat bodies, and a line


def test_an_upload_that_is_too_slow_is_refused(tone_bundle: Path) -> None:
    """Bytes that trickle are no silence, and would keep a place for half an hour."""
    with running(tone_bundle, silence_seconds=0.3, upload_rate=1_000_000) as server:
        with raw(server, "Content-Length: 1000000", FORM) as connection:
            threading.Thread(target=trickle, args=(connection,), daemon=True).start()
            head = connection.recv(1_000)
            assert b"408" in head.split(b"\r\n")[0]
        assert server.is_at_rest()


def test_an_upload_has_a_deadline_however_fast_it_is(tone_bundle: Path) -> None:
    with running(tone_bundle, upload_seconds=0.4) as server:
        head = b"%x\r\n%s\r\n" % (len(FORM), FORM)
        with raw(server, "Transfer-Encoding: chunked", head) as connection:
            threading.Thread(target=trickle, args=(connection, b"1\r\n-\r\n"), daemon=True).start()
            assert b"408" in connection.recv(1_000).split(b"\r\n")[0]
        assert server.is_at_rest()


def test_all_uploads_together_have_room_for_so_much(tone_bundle: Path, clip: bytes) -> None:
    with running(tone_bundle, upload_bytes=2_000_000, spool_bytes=3_000_000) as server:
        with raw(server, "Content-Length: 2000000", FORM):
            assert eventually(lambda: server.engine.capacity.reserved == 2_000_000)
            refused = server.transcribe(bytes(1_500_000))  # declared
            assert refused.status_code == 429
            assert int(refused.headers["Retry-After"]) > 0
            chunk = b"10000\r\n" + bytes(65_536) + b"\r\n"
            head = b"%x\r\n%s\r\n" % (len(FORM), FORM)
            with raw(server, "Transfer-Encoding: chunked", head) as grows:
                for _ in range(20):
                    grows.sendall(chunk)
                assert answer(grows).status_code == 429
            assert server.transcribe(clip).status_code == 200
        assert server.is_at_rest()
        assert server.engine.capacity.reserved == 0


@pytest.mark.parametrize("header", [b"a: b\r\n", b"x" * 64])
def test_headers_of_a_part_have_an_end(tone_bundle: Path, header: bytes) -> None:
    """They are kept in memory, many or a long one."""
    with running(tone_bundle) as server:
        body = b"--x\r\n" + header * 10_000
        with raw(server, f"Content-Length: {len(body) + 1}", body) as connection:
            response = answer(connection)
        assert response.status_code == 400
        assert error_of(response)["code"] == "bad_request"
        assert server.is_at_rest()


@pytest.mark.parametrize("part", ["file", "field"])
def test_many_parts_take_no_more_memory_than_one(lasting: Running, part: str) -> None:
    """Each of less than a megabyte, which a parser may keep in memory."""
    name = {"file": '"a"; filename="a.wav"', "field": '"a"'}[part]
    head = f"--x\r\nContent-Disposition: form-data; name={name}\r\n\r\n".encode()
    body = (head + bytes(60_000) + b"\r\n") * 30 + b"--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    peaks = []
    for _ in range(3):  # other threads allocate, too: the least is its own
        tracemalloc.start()
        response = lasting.client.post(PATH, content=iter([body]), headers=headers)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert response.status_code == 400
        assert error_of(response)["code"] in ("bad_request", "invalid_field")
    assert min(peaks) < 60_000 * (32 if part == "field" else 16) + len(body)
    assert lasting.is_at_rest()


def test_a_large_file_is_on_the_disk_and_not_in_memory(tone_bundle: Path) -> None:
    with running(tone_bundle) as server:
        blocks = (FORM if i == 0 else bytes(65_536) for i in range(400))  # 26 MB
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        tracemalloc.start()
        response = server.client.post(PATH, content=blocks, headers=headers)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert response.status_code == 400
        assert peak < 5_000_000
        assert server.is_at_rest()


def test_requests_wait_in_line_first_come_first_served(tone_bundle: Path, clip: bytes) -> None:
    model = Blocked(tone_bundle)
    with running(model, queue=2) as server, ThreadPoolExecutor(40) as pool:
        model.gate.clear()
        waiting = [pool.submit(httpx.post, **upload(server, clip)) for _ in range(10)]
        capacity = server.engine.capacity
        assert eventually(lambda: (capacity.uploads, capacity.waiting) == (2, 8))
        refused = server.transcribe(clip)  # four for each place may wait
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
        model.gate.set()
        assert {future.result().status_code for future in waiting} == {200}
        assert server.is_at_rest()


def test_a_request_that_waits_too_long_is_told_to_come_back(tone_bundle: Path, clip: bytes) -> None:
    model = Blocked(tone_bundle)
    with running(model, queue=1, wait_seconds=0.2) as server, ThreadPoolExecutor(1) as pool:
        model.gate.clear()
        first = pool.submit(server.transcribe, clip)
        assert eventually(lambda: server.engine.capacity.uploads == 1)
        refused = httpx.post(**upload(server, clip))
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "2")
        model.gate.set()
        assert first.result().status_code == 200
        assert server.is_at_rest()


def test_slots_are_given_in_the_order_of_arrival() -> None:
    async def main() -> list[int]:
        capacity = Capacity(ServerSettings(queue=1), Metrics())
        order: list[int] = []

        async def request(number: int) -> None:
            async with capacity.upload_slot():
                order.append(number)
                await asyncio.sleep(0)

        await asyncio.gather(*map(request, range(5)))
        assert (capacity.uploads, capacity.waiting) == (0, 0)
        return order

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_client_that_half_closes_gets_its_answer(
    tone_bundle: Path, clip: bytes, version: str
) -> None:
    model = Blocked(tone_bundle)
    with running(model) as server:
        model.gate.clear()
        content = FORM + clip + b'\r\n--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n'
        content += b"tones\r\n--x--\r\n"
        with raw(server, f"Content-Length: {len(content)}", content, version) as connection:
            connection.shutdown(socket.SHUT_WR)
            assert eventually(lambda: server.engine.capacity.uploads == 1)
            time.sleep(1.5)  # it is asked whether it is there, which it need not notice
            model.gate.set()
            received = b""
            while part := connection.recv(65_536):
                received += part
        final = received.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
        assert final.startswith(b"HTTP/1.1 200 ")
        assert final.endswith(b'{"text":"good deed"}')
        assert server.is_at_rest()
        assert server.client.get("/health").status_code == 200


def test_a_client_that_half_closes_in_the_middle_is_let_go(limited: Running) -> None:
    with raw(limited, "Content-Length: 1000000", FORM) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert answer_or_nothing(connection) in (b"", b"HTTP/1.1 400")


def answer_or_nothing(connection: socket.socket) -> bytes:
    """Return the beginning of what the server says until it closes."""
    content = b""
    while part := connection.recv(65_536):
        content += part
    return content[:12]
