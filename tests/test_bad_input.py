"""Bad input to ``plainspeech transcribe``: one clear line each, and the rest is still done."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

import plainspeech
from tones import TONES_ARE_SPEECH

Speak = Callable[..., npt.NDArray[np.float32]]
MakeBundle = Callable[[Path], Path]
SOURCE = Path(plainspeech.__file__).parents[1]


def transcribe(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run ``plainspeech transcribe``, to which tones are speech."""
    return subprocess.run(
        [sys.executable, "-c", f"{TONES_ARE_SPEECH}from plainspeech.cli import main; main()"]
        + ["transcribe"]
        + [str(argument) for argument in arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        check=False,
        timeout=60,
    )


def missing(path: Path, good: Path) -> str:
    return "no such file"


def folder(path: Path, good: Path) -> str:
    path.mkdir()
    return "is a folder"


def zero_length(path: Path, good: Path) -> str:
    path.touch()
    return "is empty"


def not_audio(path: Path, good: Path) -> str:
    path.write_text("Dear diary, today I was transcribed.\n" * 20)
    return "is not audio"


def truncated(path: Path, good: Path) -> str:
    path.write_bytes(good.read_bytes()[:8_000])
    return "truncated"


def truncated_mp3(path: Path, good: Path) -> str:
    samples, rate = soundfile.read(good)
    soundfile.write(path, np.tile(samples, 10), rate, format="MP3")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return "truncated"  # and libmpg123 says nothing of its own


def hundred_hours_in_the_header(path: Path, good: Path) -> str:
    samples, rate = soundfile.read(good)
    soundfile.write(path, samples, rate, format="FLAC")
    content = bytearray(path.read_bytes())
    content[21:26] = struct.pack(">BI", content[21] & 0xF0 | 1, 100 * 3600 * rate - 2**32)
    path.write_bytes(content)
    return "truncated: its header declares 360000.0 s"


def not_a_number(path: Path, good: Path) -> str:
    samples, rate = soundfile.read(good)
    samples[5_000] = np.nan
    soundfile.write(path, samples, rate, format="WAV", subtype="FLOAT")
    return "not numbers"


def one_sample(path: Path, good: Path) -> str:
    soundfile.write(path, np.zeros(1), 16_000, format="WAV")
    return "too short"


FAULTS = (
    missing,
    folder,
    zero_length,
    not_audio,
    truncated,
    truncated_mp3,
    hundred_hours_in_the_header,
    not_a_number,
    one_sample,
)


@pytest.fixture
def good(tmp_path: Path, spoken: Speak) -> Path:
    """Eight channels at 96 kHz, which is no fault."""
    path = tmp_path / "good.wav"
    samples = spoken("good deed", 96_000)
    soundfile.write(path, np.stack([samples] * 8, axis=1), 96_000)
    return path


def test_every_fault_is_one_line_and_the_others_are_transcribed(
    tmp_path: Path, good: Path, spoken: Speak, tone_bundle: Path
) -> None:
    plain = tmp_path / "plain.wav"
    soundfile.write(plain, spoken("a deed"), 16_000)
    paths = [tmp_path / fault.__name__ for fault in FAULTS]
    says = [fault(path, plain) for fault, path in zip(FAULTS, paths, strict=True)]
    result = transcribe(good, *paths, plain, "--model", tone_bundle)
    assert result.returncode == 1
    assert result.stdout == f"{good}: good deed\n{plain}: a deed\n"
    lines = result.stderr.splitlines()
    assert len(lines) == len(FAULTS)
    for line, path, said in zip(lines, paths, says, strict=True):
        assert line.startswith(f"error: {path}: ")
        assert said in line


def flipped_model(bundle: Path) -> str:
    return _flip(bundle / "model.onnx")


def flipped_record(bundle: Path) -> str:
    return _flip(bundle / "bundle.json")


def _flip(path: Path) -> str:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x01
    path.write_bytes(content)
    return f"{path.name} is damaged"


def without_model(bundle: Path) -> str:
    (bundle / "model.onnx").unlink()
    return "model.onnx is missing"


def without_record(bundle: Path) -> str:
    (bundle / "bundle.json").unlink()
    return "bundle.json is missing"


def of_another_version(bundle: Path) -> str:
    path = bundle / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    return "has the format 99"


@pytest.mark.parametrize(
    "fault", [flipped_model, flipped_record, without_model, without_record, of_another_version]
)
def test_a_faulty_bundle_is_one_line(
    tmp_path: Path, good: Path, make_tone_bundle: MakeBundle, fault: Callable[[Path], str]
) -> None:
    bundle = make_tone_bundle(tmp_path / "bundle")
    says = fault(bundle)
    result = transcribe(good, "--model", bundle)
    assert (result.returncode, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith(f"error: {bundle}: ")
    assert says in result.stderr


def test_a_model_that_is_not_there_is_one_line(tmp_path: Path, good: Path) -> None:
    result = transcribe(good, "--model", tmp_path / "none")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"error: {tmp_path / 'none'}: no such model bundle\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_behind_standard_output_is_one_line(good: Path, tone_bundle: Path) -> None:
    code = "from plainspeech.cli import main; main()"
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-c", code, "transcribe", str(good), "--model", str(tone_bundle)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            check=False,
            timeout=60,
        )
    assert result.returncode == 1
    assert result.stderr == "error: standard output cannot be written: No space left on device\n"
