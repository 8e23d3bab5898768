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
    found = Downmix()(block)
    assert found.shape == (len(block),)
    assert found.dtype == np.float32
    loudest = np.var(block, axis=0, dtype=np.float64).max()
    assert np.var(found, dtype=np.float64) >= 0.49 * loudest - 1e-9
