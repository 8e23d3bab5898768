"""Offline means offline: verbs leave nothing in a home but this package's own cache, and connect to
nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

import plainspeech

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "samples" / "2803-154328-0001.flac"
RUN = "import sys; sys.argv[0] = 'plainspeech'; from plainspeech.cli import main; main()"
INTERNET = "sa_family=AF_INET"
ARPA = "\\data\\\nngram 1=3\n\n\\1-grams:\n-1\t<s>\n-1\t</s>\n-1\ta\n\n\\end\\\n"


class Home:
    """An empty home and what runs in it; its connections are recorded where strace is installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "home"
        self.folder.mkdir()
        self.log = folder / "connections"
        self.known: set[tuple[str, ...]] = {(".cache",), (".cache", "plainspeech")}
        self.allowed = ""  # what connections have in them that are asked for
        kept = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
        path = str(Path(plainspeech.__file__).parents[1])
        self.environment = {**kept, "HOME": str(self.folder), "PYTHONPATH": path}
        self.environment.pop("ORT_DISABLE_TELEMETRY", None)

    def command(self, arguments: Sequence[str | Path]) -> list[str]:
        tracer = ["strace", "-f", "-qq", "-e", "trace=connect,sendto", "-o", str(self.log)]
        command = [sys.executable, "-c", RUN, *map(str, arguments)]
        return [*(tracer if shutil.which("strace") else []), *command]

    def run(self, *arguments: str | Path, program: str = RUN) -> None:
        """Run a verb, and hold it to what is promised."""
        command = self.command(arguments)
        command[command.index(RUN)] = program
        folder, kept = self.folder.parent, self.environment
        result = subprocess.run(
            command, cwd=folder, env=kept, capture_output=True, text=True, timeout=500
        )
        assert result.returncode == 0, result.stderr
        self.check()

    def check(self) -> None:
        """Hold the files and connections of what has run to what is promised."""
        found = {path.relative_to(self.folder).parts[:2] for path in self.folder.rglob("*")}
        assert found <= self.known
        if self.log.exists():
            lines = self.log.read_text().splitlines()
            made = [line for line in lines if "connect(" in line and INTERNET in line]
            assert [line for line in made if not self.allowed or self.allowed not in line] == []


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def manifest(folder: Path) -> Path:
    path = folder / "dev.jsonl"
    text = "they had one night in which to prepare for death"
    line = {"id": "a", "audio": str(SAMPLE), "text": text, "duration": 3.825, "speaker": "2803"}
    path.write_text(json.dumps(line) + "\n")
    (folder / "m.arpa").write_text(ARPA)
    (folder / "words.txt").write_text("the cat sat on the mat and the dog sat there\n" * 20)
    return path


VERBS: dict[str, list[str | Path]] = {
    "transcribe": ["transcribe", SAMPLE],
    "align": ["align", SAMPLE, "words.txt", "--manifest", "aligned.jsonl"],
    "listen": ["listen", SAMPLE],
    "evaluate": ["evaluate", "bundled", "dev.jsonl"],
    "data check": ["data", "check", "dev.jsonl"],
    "data prepare": ["data", "prepare", "dev.jsonl", "-o", "prepared.jsonl"],
    "data label": ["data", "label", SAMPLE, "-o", "labels.jsonl", "--least-agreement", "0"],
    "lm build": ["lm", "build", "words.txt", "-o", "scorer", "--order", "2"],
    "lm build --mix": ["lm", "build", "words.txt", "-o", "scorer", "--mix", "m.arpa"],
    "lm package": ["lm", "package", "m.arpa", "-o", "scorer"],
    "explain": ["explain", SAMPLE, "--reference", "they had one night"],
    "plot alignment": ["plot", "alignment", SAMPLE, "-o", "figure.svg"],
    "model card": ["model", "card"],
    "model summary": ["model", "summary", "small"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_stays_offline(home: Home, tmp_path: Path, verb: str) -> None:
    manifest(tmp_path)
    home.run(*VERBS[verb])


def test_conversion_to_lhotse_stays_offline(home: Home, tmp_path: Path) -> None:
    manifest(tmp_path)
    home.known |= {(".lhotse",), (".lhotse", "tools")}  # which lhotse makes, always, and empty
    home.run("data", "to-lhotse", "dev.jsonl", "cuts.jsonl")


RECIPE = """
name = "r"
preset = "small"
[data]
train = ["dev.jsonl"]
dev = "dev.jsonl"
[optimisation]
epochs = 1
[card]
licence = "CC0"
data = "one clip"
"""


def test_training_and_export_stay_offline(home: Home, tmp_path: Path) -> None:
    """With the curves of matplotlib and TensorBoard."""
    manifest(tmp_path)
    (tmp_path / "r.toml").write_text(RECIPE)
    home.run("lm", "build", "words.txt", "-o", "scorer", "--order", "2")
    home.run("lm", "train", "scorer", "words.txt", "-o", "trained", "--width", "4")
    home.run("train", "r.toml", "-o", "run", "--device", "cpu")
    home.run("export", "run/best.safetensors", "exported")
    home.run("model", "combine", "run/best.safetensors", "run/best.safetensors", "-o", "c.st")


def test_tuning_stays_offline(home: Home, tmp_path: Path) -> None:
    manifest(tmp_path)
    options = ["--trials", "2", "--beam-width", "4", "-o", "tuned", "--plot", "surface.png"]
    home.run("tune", "bundled", "dev.jsonl", *options)


SUBSET = """
import sys
from plainspeech.data import download
download.SUBSETS["dev-clean-2"] = download.Archive(31, sys.argv.pop())
sys.argv[0] = "plainspeech"
from plainspeech.cli import main
main()
"""


def test_a_download_connects_to_its_mirror_alone(home: Home, tmp_path: Path) -> None:
    archive = tmp_path / "www" / "31" / "dev-clean-2.tar.gz"
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(SAMPLE, "LibriSpeech/dev-clean-2/2803/154328/2803-154328-0001.flac")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        home.allowed = f"sin_port=htons({server.server_port})"
        mirror = f"http://127.0.0.1:{server.server_port}"
        digest = hashlib.md5(archive.read_bytes()).hexdigest()
        arguments = ["data", "download", "dev-clean-2", "--mirror", mirror, "corpus", digest]
        home.run(*arguments, program=SUBSET)
        server.shutdown()
    assert (tmp_path / "corpus" / "LibriSpeech" / "dev-clean-2" / "2803").is_dir()


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
            child.wait(60)
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
