"""A server of several processes: what they share, how they are replaced, and how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from servers import PATH, PATIENCE, Speak, eventually, process, wav
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from plainspeech.errors import ConfigurationError
from plainspeech.runtime.bundle import Bundle
from plainspeech.serving.server_settings import ServerSettings

MakeBundle = Callable[..., Path]
Model = tuple[Path, bytes]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no fork")


class Fleet:
    """A server with workers.

    Attributes:
        child: its supervisor.
        url: where it is.
        said: lines on standard error since it began to serve.
    """

    def __init__(self, child: subprocess.Popen[str], url: str) -> None:
        self.child, self.url = child, url
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.child.stderr is not None
        self.said.extend(self.child.stderr)

    def has_said(self, words: str) -> bool:
        return any(words in line for line in self.said)

    def processes(self) -> list[int]:
        """Return the pids of all processes below the supervisor."""
        return below(self.child.pid)

    def workers(self) -> list[int]:
        return [pid for pid in self.processes() if not below(pid)]

    def reload(self) -> None:
        self.child.send_signal(signal.SIGHUP)


def below(pid: int) -> list[int]:
    with suppress(FileNotFoundError, ProcessLookupError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [found for child in map(int, children) for found in (child, *below(child))]
    return []


def alive(pid: int) -> bool:
    with suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


@contextmanager
def fleet(bundle: Path, *options: str) -> Iterator[Fleet]:
    with process(bundle, "--workers", "2", *options) as (child, url):
        yield Fleet(child, url)


def rename(bundle: Path, name: str) -> None:
    """Replace the model with one that has another name, as those who deploy do."""
    loaded = Bundle.load(bundle)
    networks = {"float32": loaded.network}
    other = bundle.with_name(f"{name}-next")
    replace(loaded, card={**loaded.card, "name": name}, networks=networks).write(other)
    bundle.rename(bundle.with_name(f"{name}-before"))
    other.rename(bundle)


def post(client: httpx.Client, clip: bytes) -> httpx.Response:
    return client.post(PATH, files={"file": ("a.wav", clip)}, data={"model": "whisper-1"})


@pytest.fixture
def model(make_tone_bundle: MakeBundle, tmp_path: Path, spoken: Speak) -> Model:
    """A bundle of the test's own, and a recording of "good deed"."""
    return make_tone_bundle(tmp_path / "tones"), wav(spoken("good deed"))


def test_any_worker_tells_what_all_have_done(model: Model) -> None:
    bundle, clip = model
    with fleet(bundle) as served:
        for _ in range(8):  # each over a connection of its own
            with httpx.Client(base_url=served.url, timeout=PATIENCE) as client:
                assert post(client, clip).json() == {"text": "good deed"}

        def metrics() -> dict[str, float]:
            lines = httpx.get(f"{served.url}/metrics", timeout=PATIENCE).text.splitlines()
            pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
            return {name: float(value) for name, _, value in pairs}

        stages = ("read", "detection", "queue", "features", "network", "search")
        for _ in range(4):
            found = metrics()
            assert found[f'plainspeech_requests_total{{path="{PATH}",status="200"}}'] == 8
            assert found["plainspeech_requests_in_flight"] == 0
            for stage in stages:
                assert found[f'plainspeech_stage_seconds_count{{stage="{stage}"}}'] >= 8


def test_no_request_is_lost_while_the_model_is_replaced(model: Model) -> None:
    bundle, clip = model
    stop = threading.Event()
    answers: list[int] = []

    def client_that_keeps_its_connection() -> None:
        with httpx.Client(base_url=served.url, timeout=PATIENCE) as client:
            while not stop.is_set():
                answers.append(post(client, clip).status_code)

    with fleet(bundle) as served:
        before = served.processes()
        assert len(before) == 3
        clients = [threading.Thread(target=client_that_keeps_its_connection) for _ in range(8)]
        for client in clients:
            client.start()
        try:
            assert eventually(lambda: len(answers) > 20)
            rename(bundle, "better")
            served.reload()
            assert eventually(lambda: served.has_said("better was loaded again"))
            reached = len(answers)
            assert eventually(lambda: len(answers) > reached + 20)
            assert eventually(lambda: not any(map(alive, before)))
        finally:
            stop.set()
            for client in clients:
                client.join()
        assert set(answers) == {200}
        models = httpx.get(f"{served.url}/v1/models", timeout=PATIENCE).json()["data"]
        assert [each["id"] for each in models] == ["better"]
        assert len(served.processes()) == 3


def test_a_model_that_cannot_be_loaded_leaves_the_one_before(model: Model) -> None:
    bundle, clip = model
    with fleet(bundle) as served:
        before = served.workers()
        (bundle / "model.onnx").write_bytes(b"damaged")
        served.reload()
        assert eventually(lambda: served.has_said("the model was not loaded again: "))
        assert served.has_said("model.onnx")
        assert served.workers() == before
        with httpx.Client(base_url=served.url, timeout=PATIENCE) as client:
            assert post(client, clip).status_code == 200


def test_a_worker_that_dies_is_replaced(model: Model) -> None:
    bundle, clip = model
    with fleet(bundle) as served:
        victim, other = served.workers()
        os.kill(victim, signal.SIGKILL)
        assert eventually(lambda: served.has_said(f"worker {victim} died; another takes its place"))
        assert eventually(lambda: len(served.workers()) == 2)
        assert other in served.workers()
        for _ in range(8):
            with httpx.Client(base_url=served.url, timeout=PATIENCE) as client:
                assert post(client, clip).status_code == 200


def test_when_the_keeper_of_the_workers_dies_there_is_another(model: Model) -> None:
    bundle, clip = model
    with fleet(bundle) as served:
        keeper, *workers = served.processes()
        os.kill(keeper, signal.SIGKILL)
        assert eventually(lambda: served.has_said("was loaded again; "))
        assert eventually(lambda: not any(map(alive, workers)))
        with httpx.Client(base_url=served.url, timeout=PATIENCE) as client:
            assert post(client, clip).status_code == 200


def test_a_live_session_stays_with_its_worker(model: Model, spoken: Speak) -> None:
    bundle, _ = model
    pcm = (spoken("good deed") * 32767).astype("<i2").tobytes()
    with fleet(bundle) as served:
        before = served.workers()
        with connect(served.url.replace("http", "ws") + "/v1/stream") as live:
            assert json.loads(live.recv())["type"] == "ready"
            served.reload()
            assert eventually(lambda: served.has_said("was loaded again; "))
            live.send(pcm)
            live.send(json.dumps({"type": "end"}))
            *_, final, done = map(json.loads, live)
        assert (final["text"], done["type"]) == ("good deed", "done")
        assert eventually(lambda: not any(map(alive, before)))


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_it_drains_and_leaves_nothing(model: Model, name: str) -> None:
    bundle, _ = model
    with fleet(bundle) as served:
        every = served.processes()
        with connect(served.url.replace("http", "ws") + "/v1/stream") as live:
            assert json.loads(live.recv())["type"] == "ready"
            served.child.send_signal(getattr(signal, name))
            assert json.loads(live.recv(timeout=PATIENCE))["error"]["code"] == "draining"
        assert served.child.wait(PATIENCE) == 0
        assert not any(map(alive, every))
    assert served.said == []


def test_all_may_be_told_to_stop_at_once(model: Model) -> None:
    """As a service manager does that signals every process of a service."""
    bundle, _ = model
    with fleet(bundle) as served:
        every = [served.child.pid, *served.processes()]
        for pid in every:
            os.kill(pid, signal.SIGTERM)
        assert served.child.wait(PATIENCE) == 0
        assert not any(map(alive, every))


def test_a_second_signal_ends_it_at_once(model: Model) -> None:
    bundle, _ = model
    body = b"--x\r\nContent-Disposition: form-data; name="
    with fleet(bundle) as served:
        every = served.processes()

        def upload() -> Iterator[bytes]:
            yield body
            served.child.send_signal(signal.SIGTERM)
            assert eventually(
                lambda: httpx.get(f"{served.url}/health", timeout=PATIENCE).status_code == 503
            )
            served.child.send_signal(signal.SIGTERM)
            assert served.child.wait(PATIENCE) == 0
            yield body

        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        with suppress(httpx.TransportError):
            httpx.post(served.url + PATH, content=upload(), headers=headers, timeout=PATIENCE)
        assert eventually(lambda: not any(map(alive, every)))


def test_workers_do_not_outlive_the_supervisor(model: Model) -> None:
    bundle, _ = model
    with fleet(bundle) as served:
        every = served.processes()
        served.child.kill()
        assert eventually(lambda: not any(map(alive, every)))


def test_a_model_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as caught, process(tmp_path / "none", "--workers", "2"):
        pass
    assert f"error: {tmp_path / 'none'}: no such model bundle\n" in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize(
    ("workers", "queue", "spool"), [(1, 64, 2_000), (2, 32, 1_000), (3, 22, 666), (64, 1, 200)]
)
def test_workers_share_the_limits(workers: int, queue: int, spool: int) -> None:
    share = ServerSettings(upload_bytes=200, spool_bytes=2_000).share(workers)
    assert (share.queue, share.spool_bytes) == (queue, spool)


def test_each_worker_needs_a_slot() -> None:
    with pytest.raises(
        ConfigurationError, match="--queue is 3; with 4 workers it must be at least"
    ):
        ServerSettings(queue=3).share(4)


def test_the_log_is_lines_of_json(model: Model) -> None:
    bundle, clip = model
    with fleet(bundle, "--json-logs", "--token", "sesame") as served:
        bearer = {"Authorization": "Bearer sesame", "X-Request-ID": "mine-1"}
        with httpx.Client(base_url=served.url, headers=bearer, timeout=PATIENCE) as client:
            assert post(client, clip).headers["X-Request-ID"] == "mine-1"
        with connect(
            served.url.replace("http", "ws") + "/v1/stream?token=sesame",
            additional_headers={"X-Request-ID": "mine-2"},
        ) as live:
            assert live.response is not None
            assert live.response.headers["X-Request-ID"] == "mine-2"
            live.send("what?")
            with suppress(ConnectionClosed):
                list(live)
        served.reload()
        assert eventually(lambda: served.has_said("was loaded again; "))
        assert eventually(lambda: served.has_said("mine-2"))
    assert not served.has_said("sesame")
    lines = [json.loads(line) for line in served.said]
    by_id = {line.get("request_id"): line for line in lines}
    first, second = by_id["mine-1"], by_id["mine-2"]
    assert (first["method"], first["path"], first["status"]) == ("POST", PATH, 200)
    assert (second["method"], second["path"], second["status"]) == ("WEBSOCKET", "/v1/stream", 1008)
    assert first["seconds"] > 0
    assert first["level"] == "info"
    assert first["time"].endswith("+00:00")
