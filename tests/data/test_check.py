from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from plainspeech.alphabet import ENGLISH, ctc_frames_needed
from plainspeech.data.check import Finding, find_faults
from plainspeech.data.manifest import Utterance
from plainspeech.features import FeatureSettings

RATE = 16_000


def noise(seconds: float, seed: int, level: float = 0.3) -> npt.NDArray[np.float64]:
    random = np.random.default_rng(seed)
    return random.uniform(-level, level, round(RATE * seconds))


def save(path: Path, waveform: npt.NDArray[np.float64], text: str = "hello") -> Utterance:
    soundfile.write(path, waveform, RATE, subtype="PCM_16")
    origin = f"{path.parent.name}.jsonl, line 1"
    return Utterance(path.stem, path, text, len(waveform) / RATE, "", origin)


@pytest.fixture
def good(tmp_path: Path) -> list[Utterance]:
    return [save(tmp_path / f"good{seed}.wav", noise(1, seed)) for seed in range(3)]


def kinds(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.utterance.id, finding.kind) for finding in findings]


def test_a_good_corpus_has_no_findings(good: list[Utterance]) -> None:
    assert find_faults([good[:2], good[2:]]) == []


def test_each_fault_is_named_in_order(tmp_path: Path, good: list[Utterance]) -> None:
    (tmp_path / "cut.wav").write_bytes((tmp_path / "good0.wav").read_bytes()[:9000])
    (tmp_path / "zero.wav").touch()
    bad = [
        replace(good[0], id="missing", audio=tmp_path / "missing.wav"),
        replace(good[0], id="cut", audio=tmp_path / "cut.wav"),
        replace(good[0], id="zero", audio=tmp_path / "zero.wav"),
        save(tmp_path / "no samples.wav", np.zeros(0)),
        save(tmp_path / "silent.wav", noise(1, 10, level=5e-4)),
        save(tmp_path / "clipped.wav", np.clip(noise(1, 11, level=1.1), -1, 1)),
        save(tmp_path / "foreign.wav", noise(1, 12), "Hello 1"),
        save(tmp_path / "no text.wav", noise(1, 13), " "),
        replace(save(tmp_path / "long.wav", noise(1, 14)), duration=1.1),
        save(tmp_path / "dense.wav", noise(0.5, 15), "ll" * 9),
    ]
    assert kinds(find_faults([[*good, *bad]])) == [
        ("missing", "unreadable or empty"),
        ("cut", "unreadable or empty"),
        ("zero", "unreadable or empty"),
        ("no samples", "unreadable or empty"),
        ("silent", "silent"),
        ("clipped", "clipped"),
        ("foreign", "not in alphabet"),
        ("no text", "no transcript"),
        ("long", "wrong duration"),
        ("dense", "not alignable"),
    ]


def test_a_finding_is_one_line_with_manifest_line_id_and_mend(tmp_path: Path) -> None:
    bad = save(tmp_path / "bad.wav", noise(1, 0), "1")
    (finding,) = find_faults([[bad]])
    assert str(finding) == (
        f"{tmp_path.name}.jsonl, line 1: bad: the transcript has '1', which the alphabet does "
        "not: name the one that it was prepared for (--alphabet), or run 'plainspeech data "
        "prepare'"
    )
    assert finding.is_error


@pytest.mark.parametrize("text", ["abcdefghij", "aabb", "hello", "a"])
def test_the_last_frame_decides_over_alignment(tmp_path: Path, text: str) -> None:
    needed = ctc_frames_needed(ENGLISH.encode(text))
    # A model of stride 3 over a hop of 10 ms gives ceil(round(samples / 160) / 3) frames.
    enough = save(tmp_path / "enough.wav", noise(0.03 * (needed - 1) + 0.01, 1), text)
    lacking = save(tmp_path / "lacking.wav", noise(0.03 * (needed - 1), 2), text)
    found = kinds(find_faults([[enough, lacking] if needed > 1 else [enough]]))
    assert found == ([("lacking", "not alignable")] if needed > 1 else [])


def test_the_frame_rate_is_the_models(tmp_path: Path) -> None:
    utterance = save(tmp_path / "a.wav", noise(0.5, 1), "abcdefghij")
    assert kinds(find_faults([[utterance]], subsampling=6)) == [("a", "not alignable")]
    assert find_faults([[utterance]], subsampling=4) == []
    narrow = FeatureSettings(sample_rate=8_000, bins=40, high_hz=3_800)  # has as many frames
    assert kinds(find_faults([[utterance]], ENGLISH, narrow, 6)) == [("a", "not alignable")]
    assert find_faults([[utterance]], ENGLISH, narrow, 4) == []


def test_the_same_samples_are_found_in_another_container(
    tmp_path: Path, good: list[Utterance]
) -> None:
    waveform, _ = soundfile.read(good[0].audio)
    copy = save(tmp_path / "copy.flac", waveform)
    assert kinds(find_faults([[*good, copy]])) == [("copy", "duplicated")]
    findings = find_faults([good, [copy]])
    assert kinds(findings) == [("copy", "shared between splits")]
    assert "the same recording as good0" in str(findings[0])


def test_an_id_is_used_once(good: list[Utterance]) -> None:
    other = replace(good[1], id="good0")
    assert kinds(find_faults([[good[0], other]])) == [("good0", "duplicated")]
    assert kinds(find_faults([[good[0]], [other]])) == [("good0", "shared between splits")]


def test_the_same_utterance_twice_is_one_finding(good: list[Utterance]) -> None:
    assert kinds(find_faults([[good[0], good[0]]])) == [("good0", "duplicated")]


def test_a_speaker_in_two_splits_is_one_warning(good: list[Utterance]) -> None:
    a, b, c = (replace(utterance, speaker="84") for utterance in good)
    findings = find_faults([[a], [b, c]])
    assert kinds(findings) == [("good1", "shared speaker")]
    assert not findings[0].is_error
    assert "good1: warning: speaker 84" in str(findings[0])
    assert find_faults([[a, b, c]]) == []
