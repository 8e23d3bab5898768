from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import typer
from typer.testing import CliRunner

import plainspeech
from plainspeech.cli.transcribe import transcribe

Speak = Callable[..., npt.NDArray[np.float32]]
SOURCE = Path(plainspeech.__file__).parents[1]


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(transcribe)
    return app


@pytest.fixture
def clips(tmp_path: Path, spoken: Speak) -> list[str]:
    paths = [str(tmp_path / name) for name in ("one.wav", "two.flac")]
    soundfile.write(paths[0], spoken("first one"), 16_000)
    soundfile.write(paths[1], spoken("second", 44_100), 44_100)
    return paths


def test_one_file_is_its_text_alone(app: typer.Typer, clips: list[str], tone_bundle: Path) -> None:
    result = CliRunner().invoke(app, [clips[0], "--model", str(tone_bundle)])
    assert (result.exit_code, result.stdout, result.stderr) == (0, "first one\n", "")


def test_several_files_are_named(app: typer.Typer, clips: list[str], tone_bundle: Path) -> None:
    result = CliRunner().invoke(app, [*clips, "--model", str(tone_bundle)])
    assert result.exit_code == 0
    assert result.stdout == f"{clips[0]}: first one\n{clips[1]}: second\n"


def test_silence_is_an_empty_line(app: typer.Typer, tmp_path: Path, tone_bundle: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
    result = CliRunner().invoke(app, [str(tmp_path / "a.wav"), "--model", str(tone_bundle)])
    assert (result.exit_code, result.stdout) == (0, "\n")


def test_no_file_is_a_usage_error(app: typer.Typer) -> None:
    assert CliRunner().invoke(app, []).exit_code == 2


def run(arguments: list[str], piped: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the verb in a process of its own, which tells on stderr what it has imported."""
    code = (
        "import atexit, json, sys, typer\n"
        "from plainspeech.cli.transcribe import transcribe\n"
        "atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))\n"
        "typer.run(transcribe)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        input=piped,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        check=False,
    )


def test_a_pipe_is_transcribed(clips: list[str], tone_bundle: Path) -> None:
    for clip, text in zip(clips, (b"first one\n", b"second\n"), strict=True):
        result = run(["-", "--model", str(tone_bundle)], Path(clip).read_bytes())
        assert (result.returncode, result.stdout) == (0, text)


def test_a_pipe_of_nothing_is_an_error(tone_bundle: Path) -> None:
    result = run(["-", "--model", str(tone_bundle)])
    assert result.returncode == 1
    assert result.stderr.splitlines()[0] == b"error: <stdin>: is empty"


def test_transcribing_imports_nothing_that_trains(clips: list[str], tone_bundle: Path) -> None:
    """Nor what evaluates: the core install has neither torch nor jiwer."""
    modules = json.loads(run([clips[0], "--model", str(tone_bundle)]).stderr.splitlines()[-1])
    assert {"onnxruntime", "plainspeech.runtime.recognizer"} <= set(modules)
    packages = ("torch", "onnx", "jiwer", "lhotse", "matplotlib", "tensorboard", "safetensors")
    ours = tuple(f"plainspeech.{part}" for part in ("training", "data", "model", "evaluation"))
    found = [
        m for m in modules for name in packages + ours if m == name or m.startswith(f"{name}.")
    ]
    assert found == []
