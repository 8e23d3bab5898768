"""Identifiers of requests, and what the log says of them."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import Blocked, Running, Speak, eventually, running, wav
from starlette.types import Receive, Scope, Send

from plainspeech.serving.request_log import LOGGER, FinishedRequest, RequestMiddleware


@pytest.fixture(scope="module")
def server(tone_bundle: Path) -> Iterator[Running]:
    with running(tone_bundle) as server:
        yield server


@pytest.mark.parametrize("given", ["a", "00-4bf92f3577b34da6a3ce929d0e0e4736-01", "x" * 128])
@pytest.mark.parametrize("path", ["/health", "/v1/models", "/nothing"])
def test_the_client_may_name_its_request(server: Running, given: str, path: str) -> None:
    response = server.client.get(path, headers={"X-Request-ID": given})
    assert response.headers.get_list("X-Request-ID") == [given]


@pytest.mark.parametrize("given", [b"", b"x" * 129, b'a" b', b"a\tb", b"\xfc"])
def test_other_names_are_replaced(server: Running, given: bytes) -> None:
    response = server.client.get("/health", headers={b"X-Request-ID": given})
    assert re.fullmatch("[0-9a-f]{32}", response.headers["X-Request-ID"])


def test_refused_requests_have_one_too(server: Running) -> None:
    response = server.client.get("/health", headers={"Host": "example.org"})
    assert response.status_code == 421
    assert response.headers["X-Request-ID"]


def test_an_exception_is_logged_with_its_request(
    tone_bundle: Path, spoken: Speak, capsys: pytest.CaptureFixture[str]
) -> None:
    loggers = [LOGGER, logging.getLogger("uvicorn"), logging.getLogger("asyncio")]
    kept = [(each.handlers, each.propagate, each.level) for each in loggers]
    recognizer = Blocked(tone_bundle)
    recognizer.error = RuntimeError("broken")
    try:
        with running(recognizer, json_logs=True) as server:
            headers = {"X-Request-ID": "mine"}
            files = {"file": ("a.wav", wav(spoken("good deed")))}
            data = {"model": "whisper-1"}
            path = "/v1/audio/transcriptions"
            response = server.client.post(path, files=files, data=data, headers=headers)
            assert response.status_code == 500
            assert response.headers.get_list("X-Request-ID") == ["mine"]
    finally:
        for each, (handlers, propagate, level) in zip(loggers, kept, strict=True):
            each.handlers, each.propagate = handlers, propagate
            each.setLevel(level)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    failed = [line for line in lines if line.get("request_id") == "mine"]
    assert {line["message"] for line in failed} == {"request", "Exception in ASGI application"}
    assert any("RuntimeError: broken" in line.get("exception", "") for line in failed)
    assert next(line["status"] for line in failed if line["message"] == "request") == 500


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (["websocket.close"], 403),  # what the client is told then, before there is a session
        (["websocket.accept", "websocket.close"], 1000),
        (["websocket.accept"], 1006),
    ],
)
def test_a_handshake_that_is_refused_has_its_status_in_http(sent: list[str], status: int) -> None:
    async def application(_: Scope, __: Receive, send: Send) -> None:
        for kind in sent:
            await send({"type": kind})

    async def nothing(*_: object) -> Any:
        return {}

    seen: list[FinishedRequest] = []
    middleware = RequestMiddleware(application, [seen.append])
    scope = {"type": "websocket", "path": "/v1/nothing", "headers": []}
    asyncio.run(middleware(scope, nothing, nothing))
    assert [each.status for each in seen] == [status]


def test_a_process_that_computes_for_too_long_is_not_alive(
    tone_bundle: Path, spoken: Speak
) -> None:
    recognizer = Blocked(tone_bundle)
    with running(recognizer, request_seconds=0.2) as server:
        assert server.client.get("/health/live").json() == {"status": "alive", "model": "tones"}
        assert server.client.get("/health/ready").json() == {"status": "ready", "model": "tones"}
        recognizer.gate.clear()
        try:
            assert server.transcribe(wav(spoken("good deed"))).status_code == 504
            assert eventually(lambda: server.client.get("/health/live").status_code == 503)
        finally:
            recognizer.gate.set()
        assert eventually(lambda: server.client.get("/health/live").status_code == 200)
