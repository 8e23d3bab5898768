"""Alignment from end to end: tones, and the samples by the model that ships."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

import plainspeech
from plainspeech import Alignment, Recognizer, align, audio, load_model
from plainspeech.alignment import aligner
from plainspeech.alignment.aligner import _Part
from plainspeech.alignment.cutting import cuts
from plainspeech.arrays import Array
from plainspeech.data.manifest import read_manifest
from plainspeech.errors import DataError
from plainspeech.writers import FORMATS

SAMPLES = Path(__file__).parents[2] / "samples"
STEP = 0.18  # seconds of a tone and its pause
SENTENCES = ["the quick brown fox jumps", "over the lazy dog", "and runs away into the wood"]


@pytest.fixture(scope="session")
def tones(tone_bundle: Path) -> Recognizer:
    return load_model(tone_bundle, decoder="greedy", threads=1)


def quiet(seconds: float) -> Array:
    return np.zeros(round(16_000 * seconds), np.float32)


def recording(spoken: Callable[..., Array], *texts: str) -> Array:
    parts = [part for text in texts for part in (spoken(text), quiet(0.7))]
    return np.concatenate([quiet(0.5), *parts])


def check_times(found: Alignment) -> None:
    words = [word for word in found.words if word.spoken]
    assert all(word.start < word.end <= found.duration for word in words)
    assert all(left.end <= right.start + 1e-9 for left, right in pairwise(found.words))


def test_words_are_where_they_are_spoken(spoken: Callable[..., Array], tones: Recognizer) -> None:
    found = align(recording(spoken, *SENTENCES), "\n".join(SENTENCES), tones)
    assert not found.disagreements
    assert [sentence.text for sentence in found.sentences] == SENTENCES
    check_times(found)
    start = 0.5
    for sentence, text in zip(found.sentences, SENTENCES, strict=True):
        for word, place in zip(sentence.words, _places(text), strict=True):
            assert word.start == pytest.approx(start + STEP * place, abs=0.06)
            assert word.end == pytest.approx(start + STEP * (place + len(word.text)), abs=0.09)
        start += STEP * len(text) + 0.7
    assert found.sentences[0].confidence > 0.8
    assert found.transcript.text == " ".join(SENTENCES)


def _places(text: str) -> list[int]:
    return [0, *(place + 1 for place, symbol in enumerate(text) if symbol == " ")]


def test_disagreements_are_marked(spoken: Callable[..., Array], tones: Recognizer) -> None:
    waveform = recording(spoken, *SENTENCES)
    found = align(waveform, f"{SENTENCES[0]}\n{SENTENCES[2]}", tones)
    [extra] = found.disagreements
    assert (extra.kind, extra.heard, extra.words) == ("not in the text", SENTENCES[1], 0)
    assert extra.start == pytest.approx(0.5 + STEP * len(SENTENCES[0]) + 0.7, abs=0.1)
    found = align(waveform, "\n".join([*SENTENCES[:2], "zebras graze calmly", SENTENCES[2]]), tones)
    [missing] = found.disagreements
    assert (missing.kind, missing.text) == ("not spoken", "zebras graze calmly")
    assert missing.first_word == 9
    assert [word.spoken for word in found.words] == [True] * 9 + [False] * 3 + [True] * 6
    text = "\n".join([SENTENCES[0], "zebras graze", SENTENCES[2]])
    [other] = align(waveform, text, tones).disagreements
    assert (other.kind, other.text, other.heard) == ("different", "zebras graze", SENTENCES[1])


def test_a_number_gets_the_time_its_neighbours_leave(
    spoken: Callable[..., Array], tones: Recognizer
) -> None:
    found = align(recording(spoken, "in the year eighty it was"), "In the year 80 it was.", tones)
    assert not found.disagreements
    [number] = [word for word in found.words if not word.spelling]
    assert (number.text, number.confidence, number.spoken) == ("80", 0.0, True)
    assert number.start == pytest.approx(0.5 + 12 * STEP, abs=0.2)
    assert number.end == pytest.approx(0.5 + 18 * STEP, abs=0.2)
    assert found.foreign == "08"
    assert cuts(found) == []  # its text is not exact


def test_silence_has_none_of_the_words(tones: Recognizer) -> None:
    found = align(quiet(1.0), "one two", tones)
    assert [word.spoken for word in found.words] == [False, False]
    assert [each.kind for each in found.disagreements] == ["not spoken"]
    assert all(found.render(name) is not None for name in FORMATS)
    assert cuts(found) == []
    with pytest.raises(DataError):
        align(quiet(1.0), "12", tones)


def test_cuts_change_nothing(
    spoken: Callable[..., Array], tones: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waveform = recording(spoken, *SENTENCES)
    whole = align(waveform, "\n".join(SENTENCES), tones)
    monkeypatch.setattr(aligner, "_SPACING", 0.5)
    assert align(waveform, "\n".join(SENTENCES), tones) == whole


def test_what_is_too_long_is_aligned_at_its_ends(
    spoken: Callable[..., Array], tones: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aligner, "LATTICE", 1_000)
    monkeypatch.setattr(aligner, "_MOST_FRAMES", 300)
    monkeypatch.setattr(aligner, "_MOST_PLACES", 80)
    texts = [SENTENCES[0]] * 6  # which has no anchors
    found = align(recording(spoken, *texts), "\n".join(texts), tones)
    check_times(found)
    assert len(found.words) == 30
    assert all(word.spoken for word in (*found.words[:3], *found.words[-3:]))
    assert not all(word.spoken for word in found.words)
    assert found.words[-1].end == pytest.approx(found.duration - 0.7, abs=0.2)
    stretch = max(found.disagreements, key=lambda each: each.end - each.start)
    assert stretch.end - stretch.start > 5


@pytest.mark.parametrize(("join", "removed"), [(0, 0), (4, 3), (0, 5), (10, 2)])
def test_a_part_has_its_frames(join: int, removed: int) -> None:
    rows = np.arange(40, dtype=np.float32).reshape(20, 2)
    part = _Part(rows, 3, 17, join, removed)  # type: ignore[arg-type]
    kept = rows[3:17]
    if removed:
        kept = np.concatenate([kept[:join], kept[join + removed :]])
    assert len(part) == len(kept)
    for first in range(len(kept) + 1):
        for last in range(first, len(kept) + 2):
            np.testing.assert_array_equal(part[first:last], kept[first:last])


def test_the_command(
    spoken: Callable[..., Array],
    tone_bundle: Path,
    tmp_path: Path,
    plainspeech: Callable[..., tuple[int, str]],
) -> None:
    wav, text, out = tmp_path / "a.wav", tmp_path / "a.txt", tmp_path / "out"
    soundfile.write(wav, recording(spoken, *SENTENCES), 16_000)
    text.write_text(f"{SENTENCES[0]}.\n{SENTENCES[2]} 7.", encoding="utf-8")
    manifest = tmp_path / "corpus" / "mine.jsonl"
    status, said = plainspeech(
        "align", wav, text, "--model", tone_bundle, "-f", "json,srt,textgrid", "-o", out,
        "--manifest", manifest,
    )  # fmt: skip
    assert status == 0
    assert "1 word with characters" in said
    assert f"not in the text: '{SENTENCES[1]}'" in said
    assert "1 utterance," in said
    assert sorted(path.name for path in out.iterdir()) == ["a.json", "a.srt", "a.textgrid"]
    values = json.loads((out / "a.json").read_text(encoding="utf-8"))
    assert values["sentences"][0]["words"][1]["text"] == "quick"
    [utterance] = read_manifest(manifest)
    assert (utterance.id, utterance.text) == ("a-00001", SENTENCES[0])
    assert audio.duration(utterance.audio) == pytest.approx(utterance.duration, abs=1e-3)
    # The same again would write into a folder that is there.
    status, said = plainspeech("align", wav, text, "--model", tone_bundle, "--manifest", manifest)
    assert status == 1
    assert "exists" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.wav", "a.txt"], "missing.wav: no such file"),
        (["a.wav", "missing.txt"], "missing.txt: the text cannot be read"),
        (["a.wav", "a.txt", "-f", "json,srt"], "add --output FOLDER"),
        (["a.wav", "a.txt", "-f", "jso"], "did you mean 'json'"),
        (["a.wav", "a.txt", "--manifest", "corpus"], "needs a suffix"),
        (["a.wav", "a.txt", "--manifest", ""], "needs a suffix"),
        (["a.wav", "empty.txt"], "empty.txt: the text has no word"),
        (["a.wav", "a.wav"], "a.wav: the text cannot be read: it is not text in UTF-8 (byte"),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: list[str],
    message: str,
    tone_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    plainspeech: Callable[..., tuple[int, str]],
) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write("a.wav", quiet(0.5), 16_000)
    Path("a.txt").write_text("word", encoding="utf-8")
    Path("empty.txt").touch()
    status, said = plainspeech("align", *arguments, "--model", tone_bundle)
    assert status == 1
    assert said.startswith("error: ")
    assert message in said
    assert said.count("\n") == 1


@pytest.fixture(scope="module")
def samples() -> tuple[list[str], Array, list[float]]:
    """Texts of the samples, one recording of all, and where each begins in it, seconds."""
    utterances = read_manifest(SAMPLES / "manifest.jsonl")
    waveforms = [audio.read(each.audio) for each in utterances]
    starts = np.cumsum([0, *map(len, waveforms)]) / 16_000
    return [each.text for each in utterances], np.concatenate(waveforms), starts.tolist()


def test_the_samples_by_the_model_that_ships(
    samples: tuple[list[str], Array, list[float]],
) -> None:
    texts, waveform, starts = samples
    found = plainspeech.align(waveform, "\n".join(texts))
    check_times(found)
    assert not found.disagreements
    for sentence, begins, ends in zip(found.sentences, starts[:-1], starts[1:], strict=True):
        assert begins <= sentence.start < sentence.end <= ends
    utterances = cuts(found)
    assert [cut.text for cut in utterances] == texts
    for cut, begins, ends in zip(utterances, starts[:-1], starts[1:], strict=True):
        assert begins - 0.3 <= cut.start < cut.end <= ends + 0.3


def test_planted_disagreements_in_the_samples(
    samples: tuple[list[str], Array, list[float]],
) -> None:
    texts, waveform, starts = samples
    [stretch] = align(waveform, "\n".join([texts[0], *texts[2:]])).disagreements
    assert stretch.kind == "not in the text"
    assert starts[1] <= stretch.start < stretch.end <= starts[2]
    extra = "a sentence that nobody has said in it"
    [stretch] = align(waveform, "\n".join([*texts[:3], extra, texts[3]])).disagreements
    assert stretch.kind == "not spoken"
    assert extra.removeprefix("a ") in stretch.text  # "a" may be heard at the edge


def test_a_path_is_no_text(tone_bundle: Path) -> None:
    with pytest.raises(DataError, match=r"text: is of type .*Path; pass what is spoken"):
        plainspeech.align(np.zeros(16_000), Path("a.txt"), load_model(tone_bundle))  # type: ignore[arg-type]
