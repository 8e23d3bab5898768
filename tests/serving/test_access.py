"""Who may talk to the server: hosts, origins, tokens, and requests that a proxy could misread."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import PATH, PATIENCE, Blocked, Running, Speak, running, wav
from websockets.sync.client import connect

from plainspeech.errors import ConfigurationError
from plainspeech.serving.server_settings import ServerSettings

NAMED = "https://speech.example"


@pytest.fixture(scope="module")
def server(tone_bundle: Path) -> Iterator[Running]:
    with running(tone_bundle, hosts=("Kitchen.local",), origins=(NAMED,)) as server:
        yield server


@pytest.fixture(scope="module")
def clip(spoken: Speak) -> bytes:
    return wav(spoken("good deed"))


def status(server: Running, path: str = "/health", **headers: str) -> int:
    return server.client.get(path, headers=headers).status_code


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8000", "127.0.0.1", "192.168.1.7:80", "[::1]:8000", "kitchen.local:1"],
)
def test_own_hosts_are_served(server: Running, host: str) -> None:
    assert status(server, host=host) == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "[evil]", "", "[::1"]
)
def test_other_hosts_are_refused_everywhere(server: Running, host: str) -> None:
    """A page of that name could read everything otherwise: DNS rebinding."""
    for path in ("/", "/health", "/metrics", "/v1/models", "/openapi.json"):
        assert status(server, path, host=host) == 421


def test_a_live_session_of_another_host_is_refused(server: Running) -> None:
    host, port = server.netloc.split(":")
    with (
        socket.create_connection((host, int(port))) as connection,
        connect("ws://evil.example/v1/stream", sock=connection) as client,
    ):
        assert json.loads(client.recv())["error"]["code"] == "unknown_host"


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://[", "http://localhost:1", f"{NAMED}.evil", ""]
)
def test_pages_of_other_sites_are_refused(server: Running, clip: bytes, origin: str) -> None:
    headers = {"Origin": origin}
    files, data = {"file": clip}, {"model": "tones"}
    response = server.client.post(PATH, files=files, data=data, headers=headers)
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "foreign_origin"
    assert "Access-Control-Allow-Origin" not in response.headers
    assert server.client.options(PATH, headers=headers).status_code == 403
    with connect(f"ws://{server.netloc}/v1/stream", additional_headers=headers) as client:
        assert json.loads(client.recv())["error"]["code"] == "foreign_origin"
    assert server.is_at_rest()


def test_the_page_of_the_server_may_use_it(server: Running, clip: bytes) -> None:
    for scheme in ("http", "https"):  # a proxy before it may have TLS
        headers = {"Origin": f"{scheme}://{server.netloc}"}
        files, data = {"file": clip}, {"model": "tones"}
        response = server.client.post(PATH, files=files, data=data, headers=headers)
        assert response.json() == {"text": "good deed"}


def test_pages_of_named_sites_may_use_it(server: Running, clip: bytes) -> None:
    headers = {"Origin": NAMED}
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-own"}
    preflight = server.client.options(PATH, headers=headers | ask)
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == NAMED
    assert "x-own" in preflight.headers["Access-Control-Allow-Headers"]
    files, data = {"file": clip}, {"model": "tones"}
    response = server.client.post(PATH, files=files, data=data, headers=headers)
    assert response.json() == {"text": "good deed"}
    assert response.headers["Access-Control-Allow-Origin"] == NAMED
    wrong = server.client.post(PATH, files=files, data={"model": "x"}, headers=headers)
    assert wrong.headers["Access-Control-Allow-Origin"] == NAMED  # errors can be read, too
    with connect(f"ws://{server.netloc}/v1/stream", additional_headers=headers) as client:
        assert json.loads(client.recv()) == {"type": "ready"}


def test_pages_of_named_sites_can_read_a_failure_of_ours(tone_bundle: Path, clip: bytes) -> None:
    recognizer = Blocked(tone_bundle)
    recognizer.error = RuntimeError("broken")
    with running(recognizer, origins=(NAMED,)) as server:
        files, data = {"file": clip}, {"model": "tones"}
        response = server.client.post(PATH, files=files, data=data, headers={"Origin": NAMED})
    assert response.status_code == 500
    assert response.headers["Access-Control-Allow-Origin"] == NAMED
    assert response.headers["X-Request-ID"]


def test_without_origins_there_is_no_cors(tone_bundle: Path) -> None:
    with running(tone_bundle) as server:
        assert status(server, origin=NAMED) == 403
        own = {"Origin": f"http://{server.netloc}"}
        assert "Access-Control-Allow-Origin" not in server.client.get("/", headers=own).headers


def test_the_schema_needs_the_token_and_the_origin_comes_before_it(tone_bundle: Path) -> None:
    with running(tone_bundle, token="sesame") as server:
        assert status(server, "/openapi.json") == 401
        assert status(server, "/openapi.json", Authorization="Bearer sesame") == 200
        assert status(server, "/v1/models", origin="http://[") == 403


@pytest.mark.parametrize("order", [0, 1])
def test_two_lengths_of_a_body_are_refused(server: Running, order: int) -> None:
    """One side of a proxy would believe one, one the other (RFC 9112, section 6.1)."""
    lengths = ["Content-Length: 5", "Transfer-Encoding: chunked"][:: 1 if order else -1]
    host, port = server.netloc.split(":")
    head = "\r\n".join([f"POST {PATH} HTTP/1.1", "Host: localhost", *lengths, "", ""])
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        connection.sendall(head.encode() + b"0\r\n\r\n")
        answer = b""
        while part := connection.recv(65_536):  # until the server closes
            answer += part
    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"hosts": ("http://a",)}, "allowed host: 'http://a' must be a name without port"),
        ({"origins": ("speech.example",)}, "must be like 'https://example.org', without path"),
        ({"origins": ("*",)}, "must be like"),
        ({"spool_bytes": 5, "upload_bytes": 6}, "spool_bytes is 5; it must be at least"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says.replace("*", r"\*")):
        ServerSettings(**settings)  # type: ignore[arg-type]
