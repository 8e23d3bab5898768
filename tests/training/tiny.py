"""A run that takes a second: tones for letters, and a model of some ten thousand weights.

As a program, ``python tiny.py RECIPE FOLDER``, it trains and writes the number of each step.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from plainspeech.alphabet import ENGLISH
from plainspeech.data.manifest import Utterance, write_manifest
from plainspeech.features import FeatureSettings
from plainspeech.model.base import AcousticModel
from plainspeech.model.crnn import Crnn
from plainspeech.model.presets import PRESETS, Preset
from plainspeech.model.reference import Reference
from plainspeech.model.streaming import Streaming
from plainspeech.model.windows import Windows
from plainspeech.training.checkpoint import Checkpoint
from plainspeech.training.loop import Trainer
from plainspeech.training.recipe import read_recipe
from plainspeech.training.session import prepare_run

TEXTS = ("a cab", "dead", "a bee", "fade", "cafe", "bad egg", "deaf", "a fed bee", "gag", "abba")
RECIPE = """\
name = "tiny"
preset = "tiny"
seed = 3
checkpoint_minutes = 60

[data]
train = ["corpus.jsonl"]
dev = "corpus.jsonl"
batch_seconds = 4

[optimisation]
epochs = 3
learning_rate = 5e-3
warmup_epochs = 0.5
average_decay = 0.9
precision = "fp32"
"""


class Tiny(Crnn):
    """The ``small`` preset, narrow and shallow."""

    def __init__(self, bins: int, symbols: int, phones: int = 0) -> None:
        super().__init__(bins, symbols, channels=4, width=16, blocks=1, hidden=16, phones=phones)


class Sure(Crnn):
    """The same without dropout: nothing in it is drawn."""

    def __init__(self, bins: int, symbols: int) -> None:
        super().__init__(bins, symbols, channels=4, width=16, blocks=1, hidden=16, dropout=0.0)


BINS = 20
PRESET = Preset(Tiny, FeatureSettings(bins=BINS))
LISTED = {"tiny": PRESET, "sure": Preset(Sure, FeatureSettings(bins=BINS))}
"""Presets for recipes to name."""

SHAPES: dict[str, Callable[[], AcousticModel]] = {
    "small": lambda: Tiny(BINS, ENGLISH.size),
    "streaming": lambda: Streaming(
        BINS, ENGLISH.size, channels=2, width=16, blocks=2, hidden=8, windows=Windows(7, 4)
    ),
    "reference": lambda: Reference(BINS, ENGLISH.size, channels=3, blocks=1, layers=2, hidden=8),
}
"""A small one of every kind of model."""


def speak(text: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return a tone for each character, each followed by a pause."""
    time = np.arange(2_400) / 16_000
    tones = [np.sin(2 * np.pi * (400 + 200 * (ord(c) % 32)) * time) for c in text]
    parts = [part for tone in tones for part in (0.3 * tone, np.zeros(800))]
    return np.concatenate(parts).astype(np.float32)


def write_corpus(folder: Path, texts: tuple[str, ...] = TEXTS) -> list[Utterance]:
    """Write recordings and ``corpus.jsonl``."""
    utterances = []
    for index, text in enumerate(texts):
        path = folder / f"{index}.wav"
        waveform = speak(text)
        soundfile.write(path, waveform, 16_000)
        utterances.append(Utterance(f"u{index}", path, text, len(waveform) / 16_000))
    write_manifest(folder / "corpus.jsonl", utterances)
    return utterances


def write_recipe(folder: Path, **changes: str) -> Path:
    """Write ``recipe.toml``, with other values for some of its keys."""
    lines = RECIPE.splitlines()
    for key, value in changes.items():
        place = next(i for i, line in enumerate(lines) if line.startswith(f"{key} = "))
        lines[place] = f"{key} = {value}"
    path = folder / "recipe.toml"
    path.write_text("\n".join(lines))
    return path


def trainer_of(recipe: Path, folder: Path) -> Trainer:
    return prepare_run(read_recipe(recipe), folder, torch.device("cpu"))[0]


def ignore(_: object) -> None:
    """Let a step or an epoch pass."""


def without_times(path: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return the bits of every tensor of a checkpoint, and its progress but for the seconds."""
    checkpoint = Checkpoint.load(path)
    progress = asdict(checkpoint.progress)
    for row in (progress, *progress["history"]):
        row.pop("processor_seconds", None)
        del row["seconds"]
    return {name: t.numpy().tobytes() for name, t in checkpoint.tensors.items()}, progress


if __name__ == "__main__":
    PRESETS.update(LISTED)
    trainer = trainer_of(Path(sys.argv[1]), Path(sys.argv[2]))
    trainer.resume()
    trainer.fit(lambda report: print(report.progress.step, flush=True), ignore)  # noqa: T201
