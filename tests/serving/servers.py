"""Servers on free ports of this machine that read tones."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile

import plainspeech
from plainspeech.arrays import Array
from plainspeech.decoding.hot_words import HotWords
from plainspeech.runtime.bundle import bundled_model_path
from plainspeech.runtime.decoders import Decoder
from plainspeech.runtime.recognizer import Recognizer, load_model
from plainspeech.runtime.vad import SpeechDetector
from plainspeech.serving.app import create_app
from plainspeech.serving.engine import Engine
from plainspeech.serving.server import Server, open_socket
from plainspeech.serving.server_settings import ServerSettings
from plainspeech.transcript import Transcript
from tones import TONES_ARE_SPEECH

Speak = Callable[..., Array]

PATH = "/v1/audio/transcriptions"
SOURCE = Path(plainspeech.__file__).parents[1]
PATIENCE = 60.0  # seconds, since machines that test may be busy; nothing waits for so long
_COMPILING = 600.0  # seconds, what a server may take that is the first with a new search


def loud() -> SpeechDetector:
    """Return a detector for tones, in which Silero's hears no speech."""
    return lambda windows: np.asarray(np.abs(windows).max(axis=1) > 0.1, np.float32)


def wav(samples: Array, rate: int = 16_000) -> bytes:
    """Return a file that holds ``samples``."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV")
    return file.getvalue()


class Blocked(Recognizer):
    """Recognises when its gate is open; remembers the last hot words; can be told to fail."""

    def __init__(self, bundle: Path, decoder: Decoder | None = None) -> None:
        super().__init__(load_model(bundle).bundle, 1, decoder)
        self.gate = threading.Event()
        self.gate.set()
        self.hot_words: HotWords | None = None
        self.error: Exception | None = None
        self.passes = 0  # after which the gate closes; 0 for never

    def transcribe_waveforms(
        self, waveforms: Any, hot_words: HotWords | None = None
    ) -> list[Transcript]:
        self.hot_words = hot_words
        assert self.gate.wait(PATIENCE)
        if self.passes:
            self.passes -= 1
            if not self.passes:
                self.gate.clear()
        if self.error is not None and len(waveforms[0]) != self.bundle.features.sample_rate:
            raise self.error  # not at the second of silence that warms the server up
        return super().transcribe_waveforms(waveforms, hot_words)


@dataclass(frozen=True)
class Running:
    """A server that runs.

    Attributes:
        netloc: host and port.
        engine: its inside.
        client: does not retry.
        files: temporary ones that were open before, which are pytest's.
    """

    netloc: str
    engine: Engine
    client: httpx.Client
    files: int

    def transcribe(self, content: bytes, **fields: Any) -> httpx.Response:
        """Upload ``content``."""
        files = {"file": ("a.wav", content)}
        return self.client.post(PATH, files=files, data={"model": "whisper-1", **fields})

    def is_at_rest(self) -> bool:
        """Tell whether it holds nothing of any request within a moment."""
        return eventually(
            lambda: (
                self.engine.capacity.uploads == 0
                and self.engine.capacity.sessions == 0
                and self.engine.batcher.length == 0
                and temporary_files() == self.files
            )
        )


@contextmanager
def running(model: Path | Recognizer, **settings: Any) -> Iterator[Running]:
    """Serve from a thread of this process until the block ends."""
    recognizer = model if isinstance(model, Recognizer) else load_model(model, threads=1)
    with open_socket("127.0.0.1", 0) as socket:
        app = create_app(recognizer, ServerSettings(**settings), loud)
        server = Server(app)
        files = temporary_files()
        netloc = "{}:{}".format(*socket.getsockname())
        thread = threading.Thread(target=server.run, args=([socket],))
        thread.start()
        try:
            with httpx.Client(base_url=f"http://{netloc}", timeout=PATIENCE) as client:
                client.get("/health")  # waits until it is up: the socket listens already
                yield Running(netloc, app.state.engine, client, files)
        finally:
            server.should_exit = True
            thread.join(timeout=PATIENCE)
            assert not thread.is_alive()


@contextmanager
def process(bundle: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run ``plainspeech serve`` as its users do; yield the process and its address.

    To any model but the package's own, tones are speech.
    """
    detector = "" if bundle == bundled_model_path() else TONES_ARE_SPEECH
    code = f"{detector}from plainspeech.cli import main; main()"
    command = [sys.executable, "-c", code, "serve"]
    with subprocess.Popen(
        [*command, "--model", str(bundle), "--port", "0", *options],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    ) as child:
        try:
            assert child.stderr is not None
            said: list[str] = []
            for line in child.stderr:  # it may compile first, and say so
                said.append(line)
                if " at http" in line:
                    break
            assert " at http" in line, "".join(said)
            url = line.split(" at ")[1].split(";")[0]
            httpx.get(f"{url}/health", timeout=_COMPILING)
            yield child, url
        finally:
            child.kill()


def eventually(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Tell whether ``condition`` comes true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def temporary_files() -> int:
    """Return how many files this process has open that have no name any more."""
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile by another thread
            count += str(link.readlink()).endswith("(deleted)")
    return count
