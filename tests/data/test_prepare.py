"""LibriSpeech trees and manifests without durations become manifests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from plainspeech.data.prepare import prepare_utterances
from plainspeech.errors import PlainspeechError

CHAPTER = Path("train-clean-5", "19", "198")


def record(path: Path, seconds: float = 0.5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(16_000 * seconds)) / 16_000
    waveform = 0.3 * np.sin(2 * np.pi * 300 * time)
    if path.suffix == ".opus":
        soundfile.write(path, waveform, 16_000, format="OGG", subtype="OPUS")
    else:
        soundfile.write(path, waveform, 16_000)


def tree(root: Path, transcripts: dict[str, str], suffix: str = ".flac") -> Path:
    """Make a chapter of recordings that are 0.5 s, 0.6 s, ... long."""
    folder = root / CHAPTER
    for place, name in enumerate(transcripts):
        record(folder / f"{name}{suffix}", 0.5 + place / 10)
    lines = (f"{name} {text}\n" for name, text in transcripts.items())
    (folder / "19-198.trans.txt").write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.mark.parametrize("suffix", [".flac", ".wav", ".opus", ".ogg", ".mp3"])
@pytest.mark.parametrize("above", [".", "train-clean-5", "train-clean-5/19/198"])
def test_a_tree_at_any_height_in_any_format(tmp_path: Path, suffix: str, above: str) -> None:
    texts = {"19-198-0001": "NORTHANGER ABBEY", "19-198-0000": "IT'S ÉMILE"}
    folder = tree(tmp_path, texts, suffix)
    utterances, problems = prepare_utterances([tmp_path / above])
    assert problems == []
    assert [u.text for u in utterances] == ["northanger abbey", "it's emile"]
    assert [u.audio for u in utterances] == [folder / f"{name}{suffix}" for name in texts]
    assert {u.speaker for u in utterances} == {"19"}
    assert [u.duration for u in utterances] == pytest.approx([0.5, 0.6], abs=0.06)


def test_a_link_that_leads_back_is_followed_once(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        record(tmp_path / name / f"{name}.wav")
        (tmp_path / name / f"{name}.txt").write_text("one")
        (tmp_path / name / "other").symlink_to(tmp_path / other)
    (tmp_path / "a" / "above").symlink_to(tmp_path)
    utterances, problems = prepare_utterances([tmp_path])
    assert problems == []
    assert sorted(u.audio.name for u in utterances) == ["a.wav", "b.wav"]


def test_a_folder_that_cannot_be_read_is_a_problem(
    tmp_path: Path, private: Callable[[Path], str]
) -> None:
    tree(tmp_path, {"19-198-0000": "ONE"})
    said = private(tmp_path / "private")
    utterances, problems = prepare_utterances([tmp_path])
    assert (len(utterances), problems) == (1, [said])


def test_transcripts_of_windows_are_read_to_the_end_of_the_line(tmp_path: Path) -> None:
    folder = tree(tmp_path, {"19-198-0000": "ONE"})
    content = "\ufeff19-198-0000 ONE\u2028TWO\x85THREE\r\n\r\n"
    (folder / "19-198.trans.txt").write_bytes(content.encode())
    utterances, problems = prepare_utterances([tmp_path])
    assert problems == []
    assert [u.text for u in utterances] == ["one two three"]


def test_several_sources_are_one_corpus(tmp_path: Path) -> None:
    tree(tmp_path / "a", {"19-198-0000": "ONE"})
    tree(tmp_path / "b", {"19-198-0001": "TWO"})
    utterances, _ = prepare_utterances([tmp_path / "a", tmp_path / "b"])
    assert [u.text for u in utterances] == ["one", "two"]


def test_a_manifest_without_durations(tmp_path: Path) -> None:
    record(tmp_path / "clips" / "a.wav", 0.7)
    source = tmp_path / "m.jsonl"
    source.write_text(json.dumps({"id": "a", "audio": "clips/a.wav", "text": "Hello, World!"}))
    (utterance,), problems = prepare_utterances([source])
    assert problems == []
    assert (utterance.text, utterance.duration) == ("hello world", 0.7)


def test_wrong_durations_are_measured_anew(tmp_path: Path) -> None:
    record(tmp_path / "a.wav", 0.7)
    line = {"id": "a", "audio": "a.wav", "text": "hi", "duration": 99}
    (tmp_path / "m.jsonl").write_text(json.dumps(line))
    assert prepare_utterances([tmp_path / "m.jsonl"])[0][0].duration == 0.7


def test_each_fault_is_named_and_the_others_pass(tmp_path: Path) -> None:
    good = {"19-198-0000": "ONE", "19-198-0001": "TWO"}
    bad = {
        "19-198-0002": "IN 1984",
        "19-198-0003": "NO AUDIO",
        "19-198-0004": "",
        "19-198-0005": "NOISE",
        "19-198-0006": "TWICE",
    }
    folder = tree(tmp_path, good | bad)
    (folder / "19-198-0003.flac").unlink()
    (folder / "19-198-0005.flac").write_bytes(b"not audio")
    record(folder / "19-198-0006.wav")
    record(folder / "19-198-0007.flac")
    record(folder / "._19-198-0008.flac")
    utterances, problems = prepare_utterances([tmp_path])
    assert [u.id for u in utterances] == list(good)
    expected = {
        "line 3: 19-198-0002": "'1489'",
        "line 4: 19-198-0003": "there is no recording",
        "line 5: 19-198-0004": "the transcript is empty",
        "19-198-0005.flac": "not audio",
        "line 7: 19-198-0006": "19-198-0006.flac, 19-198-0006.wav",
        "19-198-0007.flac": "has its transcript",
    }
    assert len(problems) == len(expected)
    for who, what in expected.items():
        assert any(who in problem and what in problem for problem in problems), (who, problems)


def test_an_id_is_taken_once(tmp_path: Path) -> None:
    tree(tmp_path / "a", {"19-198-0000": "ONE"})
    tree(tmp_path / "b", {"19-198-0000": "TWO"})
    utterances, problems = prepare_utterances([tmp_path / "a", tmp_path / "b"])
    assert [u.text for u in utterances] == ["one"]
    assert len(problems) == 1
    assert "19-198-0000: the id is taken by" in problems[0]


@pytest.mark.parametrize(
    ("text", "lost"), [("naïve “quote” — don’t…", ""), ("19 я æ", "19я"), ("ﬁne ½", "12")]
)
def test_what_was_spoken_is_not_dropped_silently(tmp_path: Path, text: str, lost: str) -> None:
    tree(tmp_path, {"19-198-0000": text})
    _, problems = prepare_utterances([tmp_path])
    assert [repr(lost) in problem for problem in problems] == ([True] if lost else [])


def test_unreadable_transcripts_are_named(tmp_path: Path) -> None:
    folder = tree(tmp_path, {"19-198-0000": "ONE"})
    (folder / "19-198.trans.txt").write_bytes(b"\xff")
    utterances, problems = prepare_utterances([tmp_path])
    assert utterances == []
    assert "19-198.trans.txt: cannot read the transcripts" in problems[0]


def test_no_source(tmp_path: Path) -> None:
    with pytest.raises(PlainspeechError, match="no such folder or manifest"):
        prepare_utterances([tmp_path / "nowhere"])
    with pytest.raises(PlainspeechError, match="no recording with its text in or below it"):
        prepare_utterances([tmp_path])


def test_recordings_with_a_text_each(tmp_path: Path) -> None:
    for name in ("b.wav", "more/b.wav", "without.wav", "empty.wav"):
        record(tmp_path / name)
    (tmp_path / "b.txt").write_text("\ufeffNorthanger\nAbbey.\n", encoding="utf-8")
    (tmp_path / "more" / "b.txt").write_text("one", encoding="utf-8")
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "notes.txt").write_text("not of a recording")
    utterances, problems = prepare_utterances([tmp_path])
    assert [(u.id, u.text) for u in utterances] == [("b", "northanger abbey"), ("more/b", "one")]
    assert [u.audio for u in utterances] == [tmp_path / "b.wav", tmp_path / "more" / "b.wav"]
    assert problems == [
        f"{tmp_path / 'empty.txt'}: the transcript is empty",
        f"{tmp_path / 'without.wav'}: neither without.txt nor a line of a *.trans.txt beside it "
        f"has its transcript",
    ]
