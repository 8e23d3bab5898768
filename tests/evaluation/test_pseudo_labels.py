from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from typer.testing import CliRunner

from plainspeech.cli import app
from plainspeech.data.manifest import read_manifest
from plainspeech.errors import DataError
from plainspeech.evaluation.pseudo_labels import find_recordings, pseudo_label
from plainspeech.runtime.decoders import choose_decoder
from plainspeech.runtime.recognizer import Recognizer, load_model
from plainspeech.transcript import Transcript, Word

Speak = Callable[..., npt.NDArray[np.float32]]


@pytest.fixture
def recordings(tmp_path: Path, spoken: Speak) -> Path:
    folder = tmp_path / "recordings" / "7"
    folder.mkdir(parents=True)
    for name, text in (("7-1-0001.wav", "feed a cab"), ("7-1-0002.flac", "one ear")):
        soundfile.write(folder / name, spoken(text), 16_000)
    soundfile.write(folder / "silence.wav", np.zeros(16_000), 16_000)
    (folder / "broken.wav").write_bytes(b"RIFF")
    (folder / "notes.txt").write_text("no recording")
    return tmp_path / "recordings"


@pytest.fixture
def recognizer(tone_bundle: Path) -> Recognizer:
    return load_model(tone_bundle, threads=1)


def test_recordings_get_the_text_that_is_heard(recordings: Path, recognizer: Recognizer) -> None:
    labels, problems = pseudo_label(recognizer, find_recordings([recordings])[0])
    found = {x.utterance.id: (x.utterance.text, x.utterance.speaker, x.agreement) for x in labels}
    assert found == {
        "7-1-0001": ("feed a cab", "7", 1.0),
        "7-1-0002": ("one ear", "7", 1.0),
        "silence": ("", "", 0.0),
    }
    assert [x.utterance.duration for x in labels[:2]] == pytest.approx([1.8, 1.26])
    (problem,) = problems
    assert "broken.wav" in problem


def test_agreement_is_that_of_the_decoder_with_greedy_decoding(
    recordings: Path, tone_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = load_model(tone_bundle).bundle
    decoder = choose_decoder(bundle, "greedy")
    other = Transcript.of_words([Word("feed a cab!!", 0.0, 1.0, 1.0)], 1.0)
    monkeypatch.setattr(type(decoder), "decode_batch", lambda *_: [other])
    recognizer = Recognizer(bundle, 1, decoder)
    (found,), _ = pseudo_label(recognizer, [recordings / "7" / "7-1-0001.wav"])
    assert found.utterance.text == other.text
    assert found.agreement == pytest.approx(1 - 2 / 10)


def test_a_source_without_recordings_is_refused(tmp_path: Path) -> None:
    for source in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError, match="is neither a recording nor a folder with recordings"):
            find_recordings([source])


def test_recordings_of_one_name_have_ids_of_their_own(
    recordings: Path, recognizer: Recognizer, tmp_path: Path, spoken: Speak
) -> None:
    other = recordings / "8" / "silence.wav"
    other.parent.mkdir()
    soundfile.write(other, spoken("one ear"), 16_000)
    (recordings / "._silence.wav").write_bytes(b"what macOS knows of it")
    found, _ = find_recordings([recordings, other])
    assert len(found) == 5
    labels, _ = pseudo_label(recognizer, found)
    ids = [label.utterance.id for label in labels]
    assert ids == ["7-1-0001", "7-1-0002", str(recordings / "7" / "silence.wav"), str(other)]


def test_the_command_writes_a_manifest_of_what_is_sure(
    recordings: Path, tone_bundle: Path, private: Callable[[Path], str]
) -> None:
    said = private(recordings / "private")
    output = recordings.parent / "labels.jsonl"
    arguments = ["data", "label", str(recordings), "-o", str(output), "--model", str(tone_bundle)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert [u.text for u in read_manifest(output)] == ["feed a cab", "one ear"]
    assert "2 of 4 utterances" in result.stderr
    assert f"error: {said}\n" in result.stderr
    assert "broken.wav" in result.stderr


def test_without_a_sure_label_nothing_is_written(recordings: Path, tone_bundle: Path) -> None:
    output = recordings.parent / "labels.jsonl"
    silent = recordings / "7" / "silence.wav"
    arguments = ["data", "label", str(silent), "-o", str(output), "--model", str(tone_bundle)]
    with pytest.raises(DataError, match="not written, no label has the agreement"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert not output.exists()
