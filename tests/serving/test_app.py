"""Health, metrics, models, errors and the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from servers import PATH, Running, Speak, loud, running, wav

from plainspeech.errors import PlainspeechError
from plainspeech.runtime.recognizer import load_model
from plainspeech.serving.app import create_app
from plainspeech.serving.server_settings import ServerSettings


@pytest.fixture(scope="module")
def server(tone_bundle: Path) -> Iterator[Running]:
    with running(tone_bundle) as server:
        yield server


def values(server: Running) -> dict[str, float]:
    lines = server.client.get("/metrics").text.splitlines()
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")
    }


def test_metrics_count_requests_audio_and_batches(server: Running, spoken: Speak) -> None:
    before = values(server)
    clip = spoken("good deed")
    server.transcribe(wav(clip))
    server.transcribe(b"nothing")
    server.client.get("/a/path/that/anyone/may/think/up")
    after = values(server)

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert grown(f'plainspeech_requests_total{{path="{PATH}",status="200"}}') == 1
    assert grown(f'plainspeech_requests_total{{path="{PATH}",status="400"}}') == 1
    assert grown('plainspeech_requests_total{path="other",status="404"}') == 1
    assert grown(f'plainspeech_request_seconds_count{{path="{PATH}"}}') == 2
    assert grown("plainspeech_audio_seconds_total") == pytest.approx(len(clip) / 16_000)
    assert grown("plainspeech_batch_size_count") == 1
    assert after["plainspeech_queue_length"] == 0
    assert after["plainspeech_requests_in_flight"] == 0
    assert after["plainspeech_live_sessions"] == 0
    assert not any("think/up" in name for name in after)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("POST", "/inference", 404),
        ("GET", PATH, 405),
        ("POST", "/health", 405),
        ("POST", "/app.js", 405),
        ("GET", "/docs", 404),
        ("GET", "/v1/models/another/one", 404),
        ("DELETE", "/v1/models/tones", 405),
    ],
)
def test_unknown_paths_and_methods(server: Running, method: str, path: str, status: int) -> None:
    response = server.client.request(method, path)
    assert response.status_code == status
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_a_model_is_described_by_its_name(server: Running) -> None:
    (listed,) = server.client.get("/v1/models").json()["data"]
    for name in (listed["id"], "whisper-1"):
        assert server.client.get(f"/v1/models/{name}").json() == listed
    error = server.client.get("/v1/models/another").json()["error"]
    assert (error["code"], error["param"]) == ("model_not_found", "model")


def test_the_page_may_load_nothing_from_elsewhere(
    tone_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "index.html").write_text("<title>speak</title>")
    (tmp_path / "app.js").write_text("1")
    monkeypatch.setattr("plainspeech.serving.app.PAGE", tmp_path)
    app = create_app(load_model(tone_bundle, threads=1), ServerSettings(), loud)
    with TestClient(app, base_url="http://localhost") as client:
        for path, kind in (("/", "text/html"), ("/app.js", "text/javascript")):
            response = client.get(path)
            assert response.headers["Content-Type"].startswith(kind)
            policy = response.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'self';")
            assert "unsafe" not in policy
            assert "http" not in policy
        assert client.get("/health").json()["status"] == "ready"
        assert client.get("/../conftest.py").status_code == 404


@pytest.mark.parametrize(
    "settings", [{"queue": 0}, {"audio_seconds": -1.0}, {"token": ""}, {"token": "pass\nword"}]
)
def test_settings_that_let_nobody_in(settings: dict[str, object]) -> None:
    with pytest.raises(PlainspeechError, match=next(iter(settings))):
        ServerSettings(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/health", "/metrics", "/v1/models", "/"])
def test_head_is_get_without_its_body(server: Running, path: str) -> None:
    response = server.client.head(path)
    assert (response.status_code, response.content) == (200, b"")
