"""A server that is told to stop, as a process of its own."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
from servers import PATH, PATIENCE, Speak, eventually, process, wav
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from plainspeech import audio

CLIP = Path(__file__).resolve().parents[2] / "samples" / "1272-135031-0004.flac"
HEADERS = {"Content-Type": "multipart/form-data; boundary=x"}

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")


def post(url: str, content: bytes) -> httpx.Response:
    files, data = {"file": content}, {"model": "whisper-1"}
    return httpx.post(url + PATH, files=files, data=data, timeout=PATIENCE)


def test_no_accepted_request_is_lost(tone_bundle: Path, spoken: Speak) -> None:
    clip = wav(np.tile(spoken("good deed "), 9))
    wanted = " ".join(["good deed"] * 9)
    with process(tone_bundle) as (child, url), ThreadPoolExecutor(40) as pool:
        futures = [pool.submit(post, url, clip) for _ in range(40)]
        assert eventually(lambda: in_flight(url) >= 5)
        child.send_signal(signal.SIGTERM)
        answered = refused = 0
        for future in futures:
            try:
                response = future.result()
            except httpx.ConnectError:  # it was gone already: nothing was accepted
                refused += 1
                continue
            if response.status_code == 503:
                assert response.json()["error"]["code"] == "draining"
                assert "Retry-After" in response.headers
                refused += 1
            else:
                assert response.json() == {"text": wanted}
                answered += 1
        assert child.wait(PATIENCE) == 0
    assert answered >= 5
    assert answered + refused == 40


def test_new_requests_are_503_while_it_drains(tone_bundle: Path, spoken: Speak) -> None:
    clip = wav(spoken("good deed"))
    body = multipart(clip)
    with process(tone_bundle) as (child, url):

        def upload() -> Iterator[bytes]:
            yield body[:2_000]
            assert eventually(lambda: in_flight(url) == 1)
            child.send_signal(signal.SIGTERM)
            assert eventually(
                lambda: httpx.get(f"{url}/health", timeout=PATIENCE).status_code == 503
            )
            assert httpx.get(f"{url}/health", timeout=PATIENCE).json()["status"] == "draining"
            assert post(url, clip).status_code == 503
            yield body[2_000:]

        response = httpx.post(url + PATH, content=upload(), headers=HEADERS, timeout=PATIENCE)
        assert response.json() == {"text": "good deed"}
        assert child.wait(PATIENCE) == 0


def test_a_live_session_is_told(tone_bundle: Path) -> None:
    with process(tone_bundle) as (child, url):
        with connect(url.replace("http", "ws") + "/v1/stream") as client:
            assert json.loads(client.recv())["type"] == "ready"
            child.send_signal(signal.SIGTERM)
            error = json.loads(client.recv(timeout=PATIENCE))
            assert error["error"]["code"] == "draining"
        assert client.close_code == 1012
        assert child.wait(PATIENCE) == 0


@pytest.mark.parametrize("kind", ["tone_bundle", "streaming_tone_bundle"])
def test_a_live_session_is_told_what_was_said_before(
    kind: str, request: pytest.FixtureRequest
) -> None:
    speech = audio.read(CLIP)[:40_000]  # real: the server's detector hears no speech in tones
    with process(request.getfixturevalue(kind)) as (child, url):
        with connect(url.replace("http", "ws") + "/v1/stream") as client:
            client.send(np.round(speech * 32767).astype("<i2").tobytes())
            messages = [json.loads(client.recv(timeout=PATIENCE)) for _ in range(2)]
            assert [message["type"] for message in messages] == ["ready", "partial"]
            child.send_signal(signal.SIGTERM)
            with suppress(ConnectionClosed):
                messages += map(json.loads, client)
        assert messages[-2]["type"] == "final"
        assert messages[-2]["end"] == 2.5
        assert messages[-1]["error"]["code"] == "draining"
        assert client.close_code == 1012
        assert child.wait(PATIENCE) == 0


def test_a_second_signal_ends_it_at_once(tone_bundle: Path) -> None:
    with process(tone_bundle) as (child, url):

        def upload() -> Iterator[bytes]:
            yield b"--x"
            assert eventually(lambda: in_flight(url) == 1)
            child.send_signal(signal.SIGTERM)
            assert eventually(
                lambda: httpx.get(f"{url}/health", timeout=PATIENCE).status_code == 503
            )
            child.send_signal(signal.SIGTERM)
            child.wait(PATIENCE)
            yield b"--x"

        with suppress(httpx.TransportError):
            response = httpx.post(url + PATH, content=upload(), headers=HEADERS, timeout=PATIENCE)
            assert response.status_code == 500


def in_flight(url: str) -> float:
    lines = httpx.get(f"{url}/metrics", timeout=PATIENCE).text.splitlines()
    return float(
        next(line for line in lines if line.startswith("plainspeech_requests_in_flight")).split()[1]
    )


def multipart(clip: bytes) -> bytes:
    head = b"--x\r\nContent-Disposition: form-data; name="
    fields = head + b'"model"\r\n\r\nwhisper-1\r\n'
    return fields + head + b'"file"; filename="a.wav"\r\n\r\n' + clip + b"\r\n--x--\r\n"
