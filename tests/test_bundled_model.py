"""The model that ships with the package, on the recordings that ship with the repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import plainspeech
from conftest import Plainspeech
from plainspeech import audio
from plainspeech.cli import app
from plainspeech.data.manifest import read_manifest
from plainspeech.evaluation.error_rates import Pair, error_rates
from plainspeech.runtime.bundle import bundled_model_path, named_scorer
from plainspeech.runtime.live import LiveModel
from plainspeech.runtime.live_core import FinalResult, PartialResult

SAMPLES = Path(__file__).resolve().parents[1] / "samples" / "manifest.jsonl"
SAMPLE = SAMPLES.with_name("2803-154328-0001.flac")


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


@pytest.mark.parametrize("options", [{}, {"precision": "float32"}, {"streaming": True}])
def test_neighbours_make_no_difference(options: dict[str, Any]) -> None:
    """In eight bits neither, where utterances that are computed together would have one scale."""
    model = plainspeech.load_model(decoder="greedy", **options)
    waveforms = [audio.read(u.audio) for u in read_manifest(SAMPLES)]
    together = model.log_probabilities(waveforms)
    for waveform, found in zip(waveforms, together, strict=True):
        (alone,) = model.log_probabilities([waveform])
        np.testing.assert_allclose(found, alone, atol=1e-4)


def test_it_writes_while_somebody_speaks(model: plainspeech.Recognizer) -> None:
    (utterance, *_) = read_manifest(SAMPLES)
    live = LiveModel(model)
    assert live.streaming is not None
    transcriber = live.begin()
    waveform = audio.read(utterance.audio)
    cut = len(waveform) // 2
    begun, rest = transcriber.feed(waveform[:cut]), transcriber.feed(waveform[cut:])
    partials = [event for event in begun if isinstance(event, PartialResult)]
    assert partials
    final = [*rest, *transcriber.finish()][-1]
    assert isinstance(final, FinalResult)
    assert f"{final.text} ".startswith(partials[-1].stable)
    pair = Pair(utterance.id, utterance.speaker, utterance.text, final.text)
    assert error_rates([pair]).characters.rate < 0.4


def test_live_speech_keeps_the_last_word_of_a_recording(model: plainspeech.Recognizer) -> None:
    """A recording may end with its last word, and nothing after it."""
    live = LiveModel(model).begin()
    waveform = audio.read(SAMPLES.with_name("2803-154328-0001.flac"))
    *_, final = [*live.feed(waveform), *live.finish()]
    assert final.text == "they had one night in which to prepare for death"
    assert isinstance(final, FinalResult)
    assert final.words[-1].end <= final.end == pytest.approx(len(waveform) / 16_000)


def test_evaluation_while_streaming_goes_the_way_of_live_audio(tmp_path: Path) -> None:
    """To the letter: what it counts is what `listen` would have written."""
    results = tmp_path / "results.json"
    arguments = ["evaluate", "bundled", str(SAMPLES), "--streaming", "--json", str(results)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    found = {u["id"]: u["hypothesis"] for u in json.loads(results.read_text())["utterances"]}
    live = LiveModel(plainspeech.load_model())
    for utterance in read_manifest(SAMPLES):
        speaker = live.begin()
        blocks = np.array_split(audio.read(utterance.audio), 97)
        events = [event for block in blocks for event in speaker.feed(block)] + speaker.finish()
        texts = [event.text for event in events if isinstance(event, FinalResult) and event.text]
        assert found[utterance.id] == " ".join(texts)


def test_its_card_tells_what_was_measured_on_what(model: plainspeech.Recognizer) -> None:
    card = model.bundle.card
    assert {"name", "description", "data", "licence", "hours_of_training_data"} <= card.keys()
    results = card["results"]
    networks = {"int8", "float32", "streaming int8"}
    warps = model.bundle.frequency_warps.description
    assert {r["network"] for r in results} == {f"{network}, {warps}" for network in networks}
    for result in results:
        assert result["wer_interval"][0] < result["wer"] < result["wer_interval"][1]
        assert result["command"].startswith("plainspeech evaluate")


def test_its_names_stand_for_it_where_no_file_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = bundled_model_path()
    monkeypatch.chdir(tmp_path)
    for name in ("bundled", "english-small"):
        assert plainspeech.load_model(name, decoder="greedy").bundle.origin == shipped
        assert named_scorer(name) == shipped / "scorer"
        (tmp_path / name).mkdir()
        with pytest.raises(plainspeech.ModelError, match=f"{name}: is not a model bundle"):
            plainspeech.load_model(name)
        assert named_scorer(name) == Path(name)


@pytest.mark.parametrize(
    "command",
    [
        ("transcribe", SAMPLE, "--model", "english-small", "--language-model", "bundled"),
        ("model", "card", "bundled"),
        ("model", "pronounce", "clean", "--model", "bundled"),
        ("lm", "info", "bundled"),
        ("lm", "score", "bundled", SAMPLES.with_name("README.md"), "--summary"),
    ],
)
def test_commands_take_its_names(command: tuple[str | Path, ...], plainspeech: Plainspeech) -> None:
    assert plainspeech(*command)[0] == 0


def test_phrases_are_pronounced_word_by_word(plainspeech: Plainspeech) -> None:
    status, said = plainspeech("model", "pronounce", "Plain speech.", "r2d2")
    assert (status, said) == (
        1,
        "error: 'r2d2' has '2', which the model's alphabet lacks: spell it as it is said\n",
    )
    result = CliRunner().invoke(app, ["model", "pronounce", "Plain speech.", "clean"])
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["plain", "speech", "clean"]
