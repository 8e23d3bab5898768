"""The Python examples of README.md and docs/ run, with the files and values that they speak of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from plainspeech import audio
from plainspeech.alphabet import ENGLISH
from plainspeech.arrays import Array
from plainspeech.runtime.bundle import bundled_model_path

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "samples" / "2803-154328-0001.flac"
NEED_MORE = ("openai", "transformers")
"""What an example imports that has tests of its own, or that this environment need not have."""

ARPA = """\\data\\
ngram 1=5
ngram 2=2

\\1-grams:
-1\t<unk>
-99\t<s>\t-0.5
-1\t</s>
-1\tthe\t-0.5
-1\tcat\t-0.5

\\2-grams:
-0.3\t<s> the
-0.3\tthe cat

\\end\\
"""


def examples() -> Iterator[Any]:
    for file in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = file.read_text(encoding="utf-8")
        for found in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            code = found.group(1)
            if not any(re.search(rf"^from {name} ", code, re.MULTILINE) for name in NEED_MORE):
                line = text[: found.start(1)].count("\n") + 1
                # Errors then show the line of the document.
                yield pytest.param("\n" * (line - 1) + code, file, id=f"{file.name}:{line}")


@pytest.fixture
def workplace(tmp_path: Path, streaming_tone_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the files that the examples name."""
    (tmp_path / "runs" / "mini").mkdir(parents=True)
    for name, target in {
        "samples": ROOT / "samples",
        "scorer": bundled_model_path() / "scorer",
        "runs/mini/bundle": streaming_tone_bundle,
    }.items():
        (tmp_path / name).symlink_to(target)
    for name in ("model.arpa", "model.binary"):
        (tmp_path / name).write_text(ARPA)
    soundfile.write(tmp_path / "interview.mp3", audio.read(SAMPLE), audio.SAMPLE_RATE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def microphone() -> Iterator[Array]:
    waveform = audio.read(SAMPLE)
    yield from (waveform[start : start + 4_000] for start in range(0, len(waveform), 4_000))


def log_probabilities() -> Array:
    logits = np.random.default_rng(0).normal(size=(50, ENGLISH.size))
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), np.float32)


@pytest.mark.parametrize(("code", "file"), list(examples()))
@pytest.mark.usefixtures("workplace")
def test_the_example_runs(code: str, file: Path) -> None:
    rows = log_probabilities()
    values = {
        "log_probabilities": rows,
        "logits": rows,
        "emission": rows,
        "microphone": microphone,
        "words": ["the", "cat"],
    }
    exec(compile(code, str(file), "exec"), values)


def test_there_are_examples_in_the_readme() -> None:
    assert sum(example.values[1].name == "README.md" for example in examples()) >= 2
