from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from plainspeech.data.manifest import Utterance
from plainspeech.errors import PlainspeechError

pytest.importorskip("lhotse", reason="needs the lhotse extra")

import lhotse

from plainspeech.data.lhotse import from_cuts, read_cuts, to_cuts, write_cuts


def record(path: Path, channels: int = 1, rate: int = 16_000) -> Utterance:
    waveform = np.random.default_rng(0).uniform(-0.3, 0.3, (rate, channels))
    soundfile.write(path, waveform, rate)
    return Utterance(path.stem, path, "hello world", 1.0, "84")


@pytest.fixture
def utterances(tmp_path: Path) -> list[Utterance]:
    unknown = Utterance("c", record(tmp_path / "c.flac").audio, "hi", 1.0)
    return [record(tmp_path / "a.flac"), record(tmp_path / "b.wav", 2, 44_100), unknown]


@pytest.mark.parametrize("name", ["cuts.jsonl", "cuts.jsonl.gz"])
def test_there_and_back(tmp_path: Path, utterances: list[Utterance], name: str) -> None:
    write_cuts(tmp_path / name, utterances)
    assert read_cuts(tmp_path / name) == utterances


def test_lhotse_reads_the_recordings(utterances: list[Utterance]) -> None:
    for cut, utterance in zip(to_cuts(utterances), utterances, strict=True):
        lhotse.validate(cut)
        expected, _ = soundfile.read(utterance.audio, always_2d=True, dtype="float32")
        np.testing.assert_allclose(cut.load_audio(), expected.T, atol=1e-6)


def test_what_is_no_utterance_is_named(utterances: list[Utterance]) -> None:
    first, _, third = to_cuts(utterances)
    silent = to_cuts(utterances[:1])[0]
    silent.supervisions = []
    wordless = to_cuts(utterances[:1])[0]
    wordless.supervisions[0].text = None
    remote = to_cuts(utterances[:1])[0]
    remote.recording.sources[0].type = "url"
    for cut, reason in [
        (first.truncate(duration=0.5), "is a part of its recording"),
        (first.truncate(offset=0.5), "is a part of its recording"),
        (first.perturb_speed(1.1), "is not a file as it stands"),
        (remote, "is not a file as it stands"),
        (first.append(third), "one recording with one supervision"),
        (silent, "one recording with one supervision"),
        (wordless, "has no text"),
    ]:
        with pytest.raises(PlainspeechError, match=reason):
            from_cuts([cut])


def test_no_cuts(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}")
    (tmp_path / "none.json").write_text("[]")
    for name in ("a.jsonl", "none.json", "missing.jsonl"):
        with pytest.raises(PlainspeechError, match=f"{name}: not a file of lhotse's cuts"):
            read_cuts(tmp_path / name)


def test_cuts_are_written_whole_or_not_at_all(tmp_path: Path, utterances: list[Utterance]) -> None:
    before = set(tmp_path.iterdir())
    utterances[2].audio.unlink()
    with pytest.raises(PlainspeechError, match=r"c\.flac"):
        write_cuts(tmp_path / "cuts.jsonl", utterances)
    with pytest.raises(PlainspeechError, match=r"\.jsonl or \.jsonl\.gz"):
        write_cuts(tmp_path / "cuts.txt", utterances[:2])
    assert set(tmp_path.iterdir()) == before - {utterances[2].audio}
