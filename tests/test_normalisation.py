"""What the level of a recording and the silence around speech do to its features: nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainspeech import audio
from plainspeech.arrays import Array
from plainspeech.features import FeatureSettings, LogMel, LogMelStream
from plainspeech.normalisation import SILENCE, RunningSpeech, normalise_speech

SPEECH = FeatureSettings(high_hz=5_800, normalise="speech")
RUNNING = FeatureSettings(high_hz=5_800, normalise="running-speech")
BOTH = pytest.mark.parametrize("features", [SPEECH, RUNNING], ids=["speech", "running-speech"])
WAVEFORM = audio.read(Path(__file__).parents[1] / "samples" / "2803-154328-0001.flac")


def zeros(seconds: float) -> Array:
    return np.zeros(round(16_000 * seconds), np.float32)


@BOTH
@given(st.floats(-70, 20))
@settings(max_examples=15)
def test_the_level_does_not_matter(features: FeatureSettings, decibels: float) -> None:
    gain = np.float32(10 ** (decibels / 20))
    loud, quiet = LogMel(features)(WAVEFORM), LogMel(features)(WAVEFORM * gain)
    assert np.abs(loud - quiet).mean() < 0.005


@pytest.mark.parametrize("decibels", [-20.0, -40.0, -80.0])
def test_quiet_utterances_are_raised_above_the_floor_of_the_log(decibels: float) -> None:
    features = LogMel(FeatureSettings(high_hz=5_800))
    loud, quiet = features(WAVEFORM), features(WAVEFORM * np.float32(10 ** (decibels / 20)))
    assert np.abs(loud - quiet).mean() < 0.03


@pytest.mark.parametrize("before", [0.0, 2.0, 20.0])
@pytest.mark.parametrize("after", [0.5, 10.0])
def test_silence_around_speech_does_not_matter(before: float, after: float) -> None:
    alone = LogMel(SPEECH)(WAVEFORM)
    among = LogMel(SPEECH)(np.concatenate([zeros(before), WAVEFORM, zeros(after)]))
    start = round(100 * before)
    inner = slice(5, len(alone) - 5)  # the windows at the edges hold some silence
    difference = np.abs(among[start : start + len(alone)][inner] - alone[inner])
    assert difference.mean() < 0.02
    assert (among[: max(start - 5, 0)] == SILENCE).all()
    assert (among[start + len(alone) + 5 :] == SILENCE).all()


@pytest.mark.parametrize("before", [1.0, 20.0])
def test_silence_before_live_speech_does_not_matter(before: float) -> None:
    alone = LogMel(RUNNING)(WAVEFORM)
    among = LogMel(RUNNING)(np.concatenate([zeros(before), WAVEFORM]))[round(100 * before) :]
    assert np.abs(among[5:] - alone[5:]).mean() < 0.1


def test_live_features_come_to_be_those_of_the_whole() -> None:
    whole, live = LogMel(SPEECH)(WAVEFORM), LogMel(RUNNING)(WAVEFORM)
    late = len(whole) * 2 // 3
    assert np.abs(whole - live)[late:].mean() < 0.25
    assert np.abs(whole - live)[late:].mean() < 0.5 * np.abs(whole - live)[:100].mean()


@given(st.lists(st.integers(1, 20_000), max_size=8))
@settings(max_examples=20)
def test_pieces_give_the_bits_of_the_whole(pieces: list[int]) -> None:
    whole, stream = LogMel(RUNNING)(WAVEFORM), LogMelStream(RUNNING)
    cuts = np.cumsum(pieces)
    parts = [stream.feed(part) for part in np.split(WAVEFORM, cuts[cuts < len(WAVEFORM)])]
    np.testing.assert_array_equal(np.concatenate([*parts, stream.finish()]), whole)


@pytest.mark.parametrize("normalise", [normalise_speech, RunningSpeech(4)])
def test_what_never_changes_is_finite(normalise: RunningSpeech) -> None:
    for level in (-15.9, 0.0, 60.0):
        found = normalise(np.full((300, 4), level, np.float32))
        assert np.isfinite(found).all()
    assert normalise(np.empty((0, 4), np.float32)).shape == (0, 4)


def test_speech_has_no_mean_and_unit_deviation_over_its_frames() -> None:
    random = np.random.default_rng(1)
    loud = random.normal(0, 1, (500, 8))
    quiet = random.normal(-30, 1, (300, 8))
    found = normalise_speech(np.concatenate([loud, quiet]).astype(np.float32))
    np.testing.assert_allclose(found[:500].mean(0), 0, atol=0.02)
    np.testing.assert_allclose(found[:500].std(0), 1, atol=0.02)
    assert (found[500:] == SILENCE).all()


def test_an_onset_after_background_starts_the_level_anew() -> None:
    background, speech = np.full((2_000, 4), -12.0), np.full((50, 4), 3.0)
    energies = np.concatenate([background, speech]).astype(np.float32)
    found = RunningSpeech(4)(energies)[2_000:]
    alone = RunningSpeech(4)(speech.astype(np.float32))
    np.testing.assert_allclose(found, alone, atol=1e-5)
