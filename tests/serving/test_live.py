from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import anyio
import numpy as np
import pytest
from fastapi import WebSocketDisconnect
from servers import PATIENCE, Running, Speak, eventually, running, wav
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from plainspeech.arrays import Array
from plainspeech.decoding.results import PartialText
from plainspeech.runtime.recognizer import load_model
from plainspeech.runtime.streaming_model import UtteranceStream
from plainspeech.serving.live_endpoint import LiveSession

END = json.dumps({"type": "end"})
AUDIO_SECONDS = "plainspeech_audio_seconds_total "
SILENCE = np.zeros(16_000, np.float32)


@pytest.fixture(scope="module")
def server(tone_bundle: Path) -> Iterator[Running]:
    with running(tone_bundle) as server:
        yield server


@pytest.fixture(scope="module")
def streaming(streaming_tone_bundle: Path) -> Iterator[Running]:
    with running(streaming_tone_bundle) as server:
        yield server


@pytest.fixture(params=["whole", "streaming"])
def either(request: pytest.FixtureRequest, server: Running, streaming: Running) -> Running:
    """A server of a model of each kind."""
    return server if request.param == "whole" else streaming


@pytest.fixture
def talk(spoken: Speak) -> bytes:
    """Two utterances and silence around them."""
    parts = [SILENCE, spoken("good deed"), SILENCE, spoken("indeed"), SILENCE]
    return pcm(np.concatenate(parts))


def pcm(samples: Array) -> bytes:
    return np.round(samples * 32767).astype("<i2").tobytes()


def url(server: Running, query: str = "") -> str:
    return f"ws://{server.netloc}/v1/stream{query}"


def rest(client: ClientConnection) -> list[dict[str, Any]]:
    """Return all messages until the server closes."""
    messages: list[dict[str, Any]] = []
    with suppress(ConnectionClosed):
        messages.extend(map(json.loads, client))
    return messages


def say(server: Running, content: bytes, portion: int, query: str = "") -> list[dict[str, Any]]:
    with connect(url(server, query)) as client:
        for start in range(0, len(content), portion):
            client.send(content[start : start + portion])
        client.send(END)
        return rest(client)


def finals(messages: list[dict[str, Any]]) -> list[str]:
    return [message["text"] for message in messages if message["type"] == "final"]


@pytest.mark.parametrize("portion", [500_000, 3_201, 333])
def test_utterances_come_whatever_the_portions(either: Running, talk: bytes, portion: int) -> None:
    messages = say(either, talk, portion)
    assert messages[0] == {"type": "ready"}
    assert finals(messages) == ["good deed", "indeed"]
    assert messages[-1] == {"type": "done", "duration": round(len(talk) / 32_000, 3)}
    assert either.is_at_rest()


def test_single_bytes_are_audio_too(either: Running, spoken: Speak) -> None:
    assert finals(say(either, pcm(spoken("be")), 1)) == ["be"]


def test_times_are_those_of_the_session(either: Running, talk: bytes) -> None:
    first, second = [m for m in say(either, talk, 3_200) if m["type"] == "final"]
    assert 0.5 < first["start"] < 1.0 < first["words"][0]["start"] < 1.1
    word = second["words"][0]
    begins = 1.0 + 9 * 0.18 + 1.0
    assert word["start"] == pytest.approx(begins, abs=0.05)
    assert second["start"] < word["start"] < word["end"] < second["end"]
    assert set(word) == {"text", "start", "end", "confidence"}
    assert 0 < word["confidence"] <= 1


def test_numbers_of_final_results_are_digits_where_that_is_asked_for(
    either: Running, spoken: Speak
) -> None:
    content = pcm(np.concatenate([spoken("in nineteen eighty four"), SILENCE]))
    messages = say(either, content, 3_200, "?numbers=digits")
    (final,) = [message for message in messages if message["type"] == "final"]
    assert final["text"] == "in 1984"
    assert [word["text"] for word in final["words"]] == ["in", "1984"]
    assert finals(say(either, content, 3_200, "?numbers=words")) == ["in nineteen eighty four"]


def test_partials_grow_and_tell_what_is_stable(either: Running, spoken: Speak) -> None:
    content = pcm(np.concatenate([SILENCE, spoken("a good deed indeed is a good deed")]))
    with connect(url(either)) as client:
        messages = [json.loads(client.recv())]
        for start in range(0, len(content), 3_200):
            client.send(content[start : start + 3_200])
            if start > 64_000 and not start % 32_000:
                messages.append(json.loads(client.recv(timeout=PATIENCE)))
        client.send(END)
        messages += rest(client)
    partials = [message for message in messages if message["type"] == "partial"]
    assert len(partials) >= 3
    for before, after in pairwise(partials):
        assert after["text"].startswith(after["stable"])
        assert after["stable"].startswith(before["stable"])
        if either.engine.live.streaming is None:  # what two partials agree on
            assert before["text"].startswith(after["stable"])
        assert len(before["text"]) <= len(after["text"])
    assert partials[-1]["stable"] != ""
    assert partials[-1]["start"] == next(m["start"] for m in messages if m["type"] == "final")


@pytest.mark.parametrize("rate", [8_000, 48_000])
def test_other_sample_rates(either: Running, spoken: Speak, rate: int) -> None:
    text = "be" if rate == 8_000 else "good deed"
    content = pcm(spoken(text, rate))
    assert finals(say(either, content, 1_001, f"?sample_rate={rate}")) == [text]


def test_silence_gives_nothing(either: Running) -> None:
    messages = say(either, bytes(96_000), 3_200)
    assert messages == [{"type": "ready"}, {"type": "done", "duration": 3.0}]


def test_an_end_without_audio(either: Running) -> None:
    assert say(either, b"", 1) == [{"type": "ready"}, {"type": "done", "duration": 0.0}]


def test_a_client_that_leaves_in_the_middle_leaves_nothing(either: Running, talk: bytes) -> None:
    with connect(url(either)) as client:
        client.send(talk[:60_000])
    host, port = either.netloc.split(":")
    with connect(url(either), sock=socket.create_connection((host, int(port)))) as client:
        client.send(talk[:60_000])
        client.socket.shutdown(socket.SHUT_RDWR)  # without a word
    assert either.is_at_rest()
    assert finals(say(either, talk, 32_000)) == ["good deed", "indeed"]


def test_a_model_that_streams_hears_everything_once(streaming: Running, spoken: Speak) -> None:
    before = audio_seconds(streaming)
    audio = np.concatenate([SILENCE, spoken("a good deed indeed is a good deed"), SILENCE])
    messages = say(streaming, pcm(audio), 3_200)
    assert len(messages) > 15  # a partial a letter and more
    heard = audio_seconds(streaming) - before
    assert heard == pytest.approx(len(audio) / 16_000 - 2 + 10 * 0.032 + 5 * 0.032, abs=0.1)


def audio_seconds(server: Running) -> float:
    lines = server.client.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(AUDIO_SECONDS)).split()[1])


def test_a_model_that_streams_does_not_keep_others_waiting(
    streaming: Running, talk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, began = threading.Event(), threading.Event()
    feed = UtteranceStream.feed

    def slow(self: UtteranceStream, waveform: Array) -> PartialText:
        began.set()
        assert gate.wait(PATIENCE)
        return feed(self, waveform)

    monkeypatch.setattr(UtteranceStream, "feed", slow)
    with connect(url(streaming)) as client:
        client.send(talk)
        client.send(END)
        assert began.wait(PATIENCE)
        assert streaming.client.get("/health").status_code == 200
        assert streaming.transcribe(wav(SILENCE)).json() == {"text": ""}
        gate.set()
        assert finals(rest(client)) == ["good deed", "indeed"]


def test_sessions_that_stream_at_the_same_time_do_not_meet(
    streaming: Running, spoken: Speak
) -> None:
    texts = ["good deed", "indeed", "be", "a cab fed"] * 2
    with ThreadPoolExecutor(len(texts)) as pool:
        audios = [np.concatenate([spoken(text), SILENCE]) for text in texts]
        found = pool.map(lambda audio: finals(say(streaming, pcm(audio), 1_601)), audios)
        assert list(found) == [[text] for text in texts]
    assert streaming.is_at_rest()


def test_hot_words_of_a_session_that_streams(streaming_tone_bundle: Path, spoken: Speak) -> None:
    with running(load_model(streaming_tone_bundle, threads=1, decoder="beam")) as server:
        for query, text in (("", "first one"), ("?hot_words=first+fun:90", "first fun")):
            assert finals(say(server, pcm(spoken("first one")), 3_200, query)) == [text]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("?sample_rate=3", "invalid_sample_rate"),
        ("?sample_rate=x", "invalid_sample_rate"),
        ("?numbers=digit", "invalid_field"),
    ],
)
def test_a_query_that_is_none(server: Running, query: str, code: str) -> None:
    with connect(url(server, query)) as client:
        (error,) = rest(client)
    assert error["type"] == "error"
    assert error["error"]["code"] == code
    assert error["error"]["param"] == query[1:].partition("=")[0]
    assert client.close_code == 1008


@pytest.mark.parametrize("text", ["end", "[" * 100_000, '{"type": "stop"}'])
def test_an_unknown_message(server: Running, text: str) -> None:
    with connect(url(server)) as client:
        client.send(text)
        assert rest(client)[-1]["error"]["code"] == "invalid_message"
    assert server.is_at_rest()


def test_a_handshake_that_is_too_long_is_answered(server: Running) -> None:
    """And does not hold its connection for ever."""
    host, _, port = server.netloc.rpartition(":")
    for query, header in (("hot_words=" + "a" * 9000, "x"), ("", "x" * 9000)):
        with socket.create_connection((host, int(port)), 20) as client:
            client.sendall(
                f"GET /v1/stream?{query} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nX-Header: {header}\r\n"
                f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
            )
            answer = b""
            while data := client.recv(4096):
                answer += data
        assert answer.startswith(b"HTTP/1.1 431 ")


def test_text_that_is_not_utf_8_is_an_unknown_message_and_no_traceback(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("uvicorn").addHandler(caplog.handler)
    with connect(url(server)) as client:
        client.send(b"\xff\xfe", text=True)
        found = rest(client)
    assert found[-1]["error"]["code"] == "invalid_message"
    logging.getLogger("uvicorn").removeHandler(caplog.handler)
    assert caplog.records == []


def test_what_is_to_be_sent_when_the_connection_was_closed_is_a_disconnection(
    server: Running,
) -> None:
    """uvicorn closes it after a message that is too long, and tells the application later."""
    send = AsyncMock(side_effect=RuntimeError("Unexpected ASGI message"))
    session = LiveSession(Mock(send_text=send), server.engine, 16_000, None, digits=False)
    with pytest.raises(WebSocketDisconnect):
        anyio.run(session._send, {})


def test_a_message_that_is_too_long_ends_the_session(server: Running) -> None:
    with connect(url(server)) as client:
        client.send(bytes(2**20 + 1))
        assert rest(client) == [{"type": "ready"}]
        assert client.close_code == 1009
    assert server.is_at_rest()


def test_pages_of_other_sites_are_refused(server: Running) -> None:
    with connect(url(server), origin=Origin("http://evil.example")) as client:
        assert rest(client)[0]["error"]["code"] == "foreign_origin"
    with connect(url(server), origin=Origin(f"http://{server.netloc}")) as client:
        assert json.loads(client.recv()) == {"type": "ready"}


def test_a_client_that_sends_nothing_is_let_go(tone_bundle: Path) -> None:
    with running(tone_bundle, silence_seconds=0.3) as server, connect(url(server)) as client:
        assert rest(client)[-1]["error"]["code"] == "silence_timeout"
        assert client.close_code == 1008
        assert server.is_at_rest()


def test_a_long_session_is_not_a_connection_without_a_request(tone_bundle: Path) -> None:
    with running(tone_bundle, silence_seconds=2.0) as server, connect(url(server)) as client:
        for _ in range(12):
            client.send(bytes(6_400))
            time.sleep(0.2)
        client.send(END)
        assert rest(client)[-1] == {"type": "done", "duration": 2.4}


def test_the_token(tone_bundle: Path) -> None:
    with running(tone_bundle, token="sesame") as server:
        for query in ("", "?token=wrong", "?token="):
            with connect(url(server, query)) as client:
                (error,) = rest(client)
                assert error["error"]["code"] == "invalid_api_key"
        assert say(server, b"", 1, "?token=sesame")[0] == {"type": "ready"}
        header = {"Authorization": "Bearer sesame"}
        with connect(url(server), additional_headers=header) as client:
            assert json.loads(client.recv()) == {"type": "ready"}


def test_sessions_are_bounded(tone_bundle: Path) -> None:
    with running(tone_bundle, queue=1) as server, connect(url(server)) as first:
        assert json.loads(first.recv()) == {"type": "ready"}
        with connect(url(server)) as second:
            assert rest(second)[0]["error"]["code"] == "queue_full"
            assert second.close_code == 1013
        first.close()
        assert eventually(lambda: server.engine.capacity.sessions == 0)
        with connect(url(server)) as third:
            assert json.loads(third.recv()) == {"type": "ready"}


def test_a_client_that_trickles_is_let_go(tone_bundle: Path) -> None:
    """A byte now and then is no speech, and would keep a place for ever."""
    with running(tone_bundle, silence_seconds=0.5) as server, connect(url(server)) as client:
        with suppress(ConnectionClosed):
            for _ in range(200):
                client.send(b"\x00\x00")
                time.sleep(0.05)
        assert rest(client)[-1]["error"]["code"] == "silence_timeout"
        assert server.is_at_rest()
