"""Of several channels, what was said is kept."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from plainspeech import audio
from plainspeech.arrays import Array
from plainspeech.audio.channels import Downmix

RATE = audio.SAMPLE_RATE


def noise(level: float, seed: int = 0) -> Array:
    return (level * np.random.default_rng(seed).standard_normal(3 * RATE)).astype(np.float32)


SPEECH = noise(0.1)


def read(*channels: Array) -> Array:
    file = io.BytesIO()
    soundfile.write(file, np.stack(channels, axis=1), RATE, format="WAV", subtype="FLOAT")
    file.seek(0)
    return audio.read(file)


@pytest.mark.parametrize(
    "channels",
    [
        (SPEECH, -SPEECH),
        (-SPEECH, SPEECH, -SPEECH, SPEECH),
        (SPEECH, 0 * SPEECH),
        (0 * SPEECH, SPEECH),
        (SPEECH, noise(0.01, 1)),
        (noise(0.01, 1), noise(0.01, 2), SPEECH),
        (SPEECH, 0 * SPEECH + 0.5),  # a direct current is not loud
        (noise(0.01, 1) + 0.5, 0.001 * SPEECH, SPEECH),
    ],
)
def test_the_channel_with_the_speech_is_taken(channels: tuple[Array, ...]) -> None:
    found = read(*channels)
    assert np.allclose(found, SPEECH, atol=1e-6) or np.allclose(found, -SPEECH, atol=1e-6)


@given(
    samples=npst.arrays(np.float32, st.integers(160, 2_000), elements=st.floats(-1, 1, width=32)),
    gains=st.lists(st.floats(0.75, 1.0), min_size=1, max_size=9),
)
@settings(max_examples=50)
def test_channels_that_agree_are_averaged(samples: Array, gains: list[float]) -> None:
    channels = [(gain * samples).astype(np.float32) for gain in gains]
    np.testing.assert_allclose(read(*channels), np.mean(channels, axis=0), atol=1e-6)


def test_noise_of_the_channels_own_averages_out() -> None:
    found = read(SPEECH + noise(0.05, 1), SPEECH + noise(0.05, 2))
    assert np.std(found - SPEECH) == pytest.approx(0.05 / np.sqrt(2), rel=0.05)


def syllables(level: float, seed: int = 0) -> Array:
    """Return noise that comes and goes four times a second, as speech does."""
    swell = np.maximum(0, np.sin(2 * np.pi * 4 * np.arange(3 * RATE) / RATE))
    return (noise(level, seed) * swell).astype(np.float32)


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("kind", ["hiss", "hum"])
def test_speech_wins_over_louder_steady_noise(kind: str, right: bool) -> None:
    """As an open input beside a microphone has it."""
    speech = syllables(0.05)
    time = np.arange(len(speech)) / RATE
    hum = np.sum([np.sin(2 * np.pi * 50 * h * time) / h for h in range(1, 12)], axis=0)
    steady = noise(0.2, 1) if kind == "hiss" else (0.2 * hum).astype(np.float32)
    channels = (steady, speech) if right else (speech, steady)
    np.testing.assert_allclose(read(*channels), speech, atol=1e-6)


def test_a_channel_that_hears_later_is_not_mixed_in() -> None:
    """It would be a comb filter; 5 ms are 1.7 m of way."""
    speech = syllables(0.1)
    late = np.concatenate([np.zeros(80, np.float32), speech[:-80]])
    found = read(speech, late)
    assert np.allclose(found, speech) or np.allclose(found, late)


def test_quiet_moments_do_not_change_how_channels_are_mixed() -> None:
    """In pauses of a speaker whom both hear only their own noise is left, which does not agree."""
    pauses = np.repeat([1.0, 0.0, 1.0], RATE).astype(np.float32)
    said = syllables(0.1) * pauses
    left, right = said + noise(0.003, 1), said + noise(0.003, 2)
    np.testing.assert_allclose(read(left, right), (left + right) / 2, atol=1e-6)


def test_channels_are_kept_apart_where_that_is_asked_for() -> None:
    file = io.BytesIO()
    both = np.stack([syllables(0.1), syllables(0.1, 1)], axis=1)
    soundfile.write(file, both, RATE, format="WAV", subtype="FLOAT")
    file.seek(0)
    with audio.opened(file, separate=True) as recording:
        np.testing.assert_array_equal(np.concatenate([*recording.blocks]), both)
    np.testing.assert_array_equal(audio.from_array(both, RATE, separate=True), both)
    resampled = audio.from_array(both, RATE, 8_000, separate=True)
    for channel in range(2):
        alone = audio.from_array(both[:, channel], RATE, 8_000)
        np.testing.assert_allclose(resampled[:, channel], alone, atol=1e-6)


def test_speakers_with_a_channel_each_are_heard_in_turn() -> None:
    turns = np.repeat([1.0, 0.0, 1.0], RATE).astype(np.float32)
    left, right = noise(0.1, 1) * turns, noise(0.1, 2) * (1 - turns)
    found = read(left, right)
    expected = left + right
    # A block that both speak in has the louder one of them.
    assert np.mean(np.isclose(found, expected, atol=1e-6)) > 0.6
    for second in range(3):
        middle = slice(second * RATE + RATE // 4, (second + 1) * RATE - RATE // 4)
        assert np.std(found[middle]) > 0.02


@given(
    block=npst.arrays(
        np.float32,
        st.tuples(st.integers(1, 300), st.integers(1, 9)),
        elements=st.floats(-1, 1, width=32),
    )
)
def test_nothing_that_was_heard_is_silenced(block: Array) -> None:
    found = Downmix(RATE)(block)
    assert found.shape == (len(block),)
    assert found.dtype == np.float32
    loudest = np.var(block, axis=0, dtype=np.float64).max()
    assert np.var(found, dtype=np.float64) >= 0.49 * loudest - 1e-9
