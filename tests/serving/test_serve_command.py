from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import uvicorn
from servers import PATIENCE, SOURCE, process

from conftest import Plainspeech
from plainspeech.runtime.recognizer import load_model
from plainspeech.serving.app import create_app
from plainspeech.serving.server import Server, open_socket
from plainspeech.serving.server_settings import ServerSettings

RUN = [sys.executable, "-c"]
SERVE = "from plainspeech.cli import main; main()"


def run(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RUN, code, "serve", *arguments],
        env={**os.environ, "PYTHONPATH": str(SOURCE), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def test_an_answer_does_not_wait_for_the_client_to_acknowledge_its_head() -> None:
    """Nagle's algorithm would hold the body back for the 40 ms that an acknowledgement may take."""
    with (
        open_socket("127.0.0.1", 0) as server,
        socket.create_connection(server.getsockname()),
        server.accept()[0] as connection,
    ):
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_it_serves_until_a_signal_and_ends_well(tone_bundle: Path, name: str) -> None:
    with process(tone_bundle) as (child, url):
        assert url.startswith("http://127.0.0.1:")
        assert httpx.get(f"{url}/health", timeout=PATIENCE).json() == {
            "status": "ready",
            "model": "tones",
        }
        child.send_signal(getattr(signal, name))
        assert child.wait(PATIENCE) == 0
        assert child.stderr is not None
        assert child.stderr.read() == ""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_while_the_model_gets_ready(tone_bundle: Path, name: str) -> None:
    """The first time on a machine that takes seconds: what the lexicon teaches is learned."""
    learns = (
        "from plainspeech.serving.engine import Engine\nimport signal, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in the background
    )
    waits = (
        f"Engine.warm_up = lambda self: (print('learns', flush=True), time.sleep({2 * PATIENCE}))"
    )
    with subprocess.Popen(
        [*RUN, f"{learns}{waits}\n{SERVE}", "serve", "--model", str(tone_bundle), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "learns\n"
            child.send_signal(number := getattr(signal, name))
            assert child.wait(PATIENCE) == 128 + number
            assert child.stderr is not None
            assert child.stderr.read() == ""
        finally:
            child.kill()


def test_a_signal_before_the_loop_has_begun_ends_it(
    tone_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = uvicorn.Config.load

    def load(config: uvicorn.Config) -> None:
        original(config)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(uvicorn.Config, "load", load)
    with open_socket("127.0.0.1", 0) as listening:
        app = create_app(load_model(tone_bundle, threads=1), ServerSettings())
        Server(app).run([listening])  # and comes back


def test_the_token_comes_from_the_environment(
    tone_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAINSPEECH_TOKEN", "sesame")
    with process(tone_bundle) as (_, url):
        assert httpx.get(f"{url}/v1/models", timeout=PATIENCE).status_code == 401
        headers = {"Authorization": "Bearer sesame"}
        assert httpx.get(f"{url}/v1/models", headers=headers, timeout=PATIENCE).status_code == 200


def test_the_folder_of_another_program_s_metrics_is_not_used(
    tone_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process needs none; this one is not even there."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "theirs"))
    with process(tone_bundle) as (_, url):
        metrics = httpx.get(f"{url}/metrics", timeout=PATIENCE).text
    assert "plainspeech_queue_length 0.0" in metrics
    assert not (tmp_path / "theirs").exists()


def test_an_address_for_all_is_warned_of(tone_bundle: Path) -> None:
    with process(tone_bundle, "--host", "0.0.0.0") as (child, _):
        assert child.stderr is not None
        assert child.stderr.readline().startswith("warning: without --token")


def test_a_port_that_is_taken_is_one_line(tone_bundle: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = run(SERVE, "--model", str(tone_bundle), "--port", port)
    assert result.returncode == 1
    assert result.stderr == (
        f"error: cannot listen on 127.0.0.1, port {port}: Address already in use; "
        "choose another --host or --port\n"
    )


def test_a_host_that_is_not_there_is_one_line(tone_bundle: Path) -> None:
    result = run(SERVE, "--model", str(tone_bundle), "--host", "no host")
    assert result.returncode == 1
    assert result.stderr.startswith("error: cannot listen on no host, port 8000: ")
    assert len(result.stderr.splitlines()) == 1


def test_a_model_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    result = run(SERVE, "--model", str(tmp_path / "none"), "--port", "0")
    assert result.returncode == 1
    assert result.stderr == f"error: {tmp_path / 'none'}: no such model bundle\n"


@pytest.mark.parametrize("value", ["0", "-1", "inf", "nan"])
@pytest.mark.parametrize("name", ["--max-upload-mib", "--max-minutes", "--timeout"])
def test_a_limit_that_is_none_is_named_as_it_was_given(
    plainspeech: Plainspeech, name: str, value: str
) -> None:
    said = f"error: {name} is {value}; it must be above 0, and finite\n"
    assert plainspeech("serve", name, value) == (1, said)


def test_a_missing_extra_is_named() -> None:
    result = run(f"import sys; sys.modules['fastapi'] = None; {SERVE}")
    assert result.returncode == 1
    assert "pip install -c constraints.txt '.[serve]'" in result.stderr
    assert len(result.stderr.splitlines()) == 1
