"""The model that ships with the package, on the recordings that ship with the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

import plainspeech
from plainspeech import audio
from plainspeech.data.manifest import read_manifest
from plainspeech.evaluation.error_rates import Pair, error_rates

SAMPLES = Path(__file__).resolve().parents[1] / "samples" / "manifest.jsonl"


@pytest.fixture(scope="module")
def model() -> plainspeech.Recognizer:
    return plainspeech.load_model()


def test_what_it_writes_is_readable(model: plainspeech.Recognizer) -> None:
    said = read_manifest(SAMPLES)
    heard = [model.transcribe(utterance.audio) for utterance in said]
    pairs = [Pair(u.id, u.speaker, u.text, t.text) for u, t in zip(said, heard, strict=True)]
    assert error_rates(pairs).characters.rate < 0.4
    for utterance, transcript in zip(said, heard, strict=True):
        assert transcript.duration == pytest.approx(utterance.duration, abs=0.01)
        assert all(word.end <= transcript.duration for word in transcript.words)


def test_the_text_is_the_same_alone_and_in_a_batch(model: plainspeech.Recognizer) -> None:
    waveforms = [audio.read(u.audio) for u in read_manifest(SAMPLES)]
    alone = [model.transcribe_waveforms([waveform])[0].text for waveform in waveforms]
    assert [t.text for t in model.transcribe_waveforms(waveforms)] == alone


def test_its_card_tells_what_was_measured_on_what(model: plainspeech.Recognizer) -> None:
    card = model.bundle.card
    assert {"name", "description", "data", "licence", "hours_of_training_data"} <= card.keys()
    (result,) = [r for r in card["results"] if r["decoder"] == "greedy"]
    assert result["wer_interval"][0] < result["wer"] < result["wer_interval"][1]
    assert result["command"].startswith("plainspeech evaluate")
