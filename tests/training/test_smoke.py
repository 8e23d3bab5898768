"""The whole line on real speech: recipe, training, bundle, text."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from plainspeech import audio, cli
from plainspeech.data.manifest import read_manifest
from plainspeech.runtime.recognizer import load_model

ROOT = Path(__file__).parents[2]


def test_the_smoke_recipe_learns_its_clips_by_heart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "smoke"
    recipe = ROOT / "recipes" / "smoke.toml"
    command = ["plainspeech", "train", str(recipe), "--output", str(run), "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 0
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert history[0]["train_loss"] > 2
    assert history[-1]["train_loss"] < 0.1
    assert history[-1]["dev_wer"] == history[-1]["dev_cer"] == 0
    recognizer = load_model(run / "bundle")
    for clip in read_manifest(ROOT / "samples" / "manifest.jsonl"):
        # As it was trained on: with the silence that transcribing a file leaves out.
        (transcript,) = recognizer.transcribe_waveforms([audio.read(clip.audio)])
        assert transcript.text == clip.text
