"""Offline means offline: verbs leave nothing in a home but this package's own cache, and connect to
nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

import plainspeech

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "samples" / "2803-154328-0001.flac"
RUN = "import sys; sys.argv[0] = 'plainspeech'; from plainspeech.cli import main; main()"
INTERNET = "sa_family=AF_INET"


class Home:
    """An empty home and what runs in it; its connections are recorded where strace is installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "home"
        self.folder.mkdir()
        self.log = folder / "connections"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
        path = str(Path(plainspeech.__file__).parents[1])
        self.environment = {**kept, "HOME": str(self.folder), "PYTHONPATH": path}
        self.environment.pop("ORT_DISABLE_TELEMETRY", None)

    def command(self, arguments: Sequence[str | Path]) -> list[str]:
        tracer = ["strace", "-f", "-qq", "-e", "trace=connect,sendto", "-o", str(self.log)]
        command = [sys.executable, "-c", RUN, *map(str, arguments)]
        return [*(tracer if shutil.which("strace") else []), *command]

    def check(self) -> None:
        """Hold the files and connections of what has run to what is promised."""
        found = {path.relative_to(self.folder).parts[:2] for path in self.folder.rglob("*")}
        assert found <= {(".cache",), (".cache", "plainspeech")}
        if self.log.exists():
            lines = self.log.read_text().splitlines()
            assert [line for line in lines if "connect(" in line and INTERNET in line] == []


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def manifest(folder: Path) -> Path:
    path = folder / "dev.jsonl"
    text = "they had one night in which to prepare for death"
    line = {"id": "a", "audio": str(SAMPLE), "text": text, "duration": 3.825, "speaker": "2803"}
    path.write_text(json.dumps(line) + "\n")
    (folder / "words.txt").write_text("the cat sat on the mat and the dog sat there\n" * 20)
    return path


VERBS: dict[str, list[str | Path]] = {
    "transcribe": ["transcribe", SAMPLE],
    "listen": ["listen", SAMPLE],
    "evaluate": ["evaluate", "bundled", "dev.jsonl"],
    "data check": ["data", "check", "dev.jsonl"],
    "data prepare": ["data", "prepare", "dev.jsonl", "-o", "prepared.jsonl"],
    "data label": ["data", "label", SAMPLE, "-o", "labels.jsonl", "--least-agreement", "0"],
    "lm build": ["lm", "build", "words.txt", "-o", "scorer", "--order", "2"],
    "model card": ["model", "card"],
    "model summary": ["model", "summary", "small"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_stays_offline(home: Home, tmp_path: Path, verb: str) -> None:
    manifest(tmp_path)
    result = subprocess.run(
        home.command(VERBS[verb]),
        cwd=tmp_path,
        env=home.environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    home.check()


def test_the_server_opens_no_connection(home: Home, tmp_path: Path) -> None:
    with subprocess.Popen(
        home.command(["serve", "--port", "0"]),
        cwd=tmp_path,
        env=home.environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            assert child.stderr is not None
            line = next(line for line in child.stderr if " at http" in line)
            url = line.split(" at ")[1].split(";")[0]
            files, data = {"file": SAMPLE.read_bytes()}, {"model": "whisper-1"}
            path = f"{url}/v1/audio/transcriptions"
            response = httpx.post(path, files=files, data=data, timeout=120)
            assert response.json()["text"].startswith("they had one night")
            time.sleep(1.0)  # onnxruntime would connect in a thread of its own
        finally:
            os.killpg(child.pid, signal.SIGTERM)
            child.wait(30)
    home.check()


def test_it_is_off_before_onnxruntime_can_be_imported() -> None:
    code = "import plainspeech, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    for value in ("1", "0"):  # whoever sets it knows why
        environment = {**os.environ, "ORT_DISABLE_TELEMETRY": value}
        if value == "1":
            del environment["ORT_DISABLE_TELEMETRY"]
        found = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.strip() == value
