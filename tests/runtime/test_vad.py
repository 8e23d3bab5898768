from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainspeech import audio
from plainspeech.runtime.vad import VAD_WINDOW, SpeechProbabilities, silero_detector

SAMPLE = "samples/2412-153954-0002.flac"


def test_silero_hears_speech_and_no_noise(request: pytest.FixtureRequest) -> None:
    speech = audio.read(request.config.rootpath / SAMPLE)
    noise = np.random.default_rng(0).normal(0, 0.01, 32_000).astype(np.float32)
    heard = SpeechProbabilities(16_000, silero_detector()).feed(np.concatenate([noise, speech]))
    assert max(heard[: len(noise) // VAD_WINDOW]) < 0.35
    # The sample has 0.3 s of silence before the speech, and as much after it.
    inside = heard[(len(noise) + 8_000) // VAD_WINDOW : (len(noise) + 52_000) // VAD_WINDOW]
    assert float(np.mean(inside)) > 0.9


def test_a_detector_does_not_remember_another_stream() -> None:
    window = np.zeros(VAD_WINDOW, np.float32)
    first, second = silero_detector(), silero_detector()
    expected = first(window)
    assert first(window) != expected
    assert second(window) == expected


@given(st.lists(st.integers(0, 3_000), max_size=8))
def test_blocks_of_any_length_are_the_same_to_it(sizes: list[int]) -> None:
    samples = np.arange(sum(sizes), dtype=np.float32)
    activity = SpeechProbabilities(16_000, lambda window: float(window[0]))
    heard = [p for block in np.split(samples, np.cumsum(sizes)) for p in activity.feed(block)]
    assert heard == samples[: len(samples) // VAD_WINDOW * VAD_WINDOW : VAD_WINDOW].tolist()


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_windows_are_those_of_16_kilohertz(rate: int) -> None:
    heard = SpeechProbabilities(rate, lambda window: 0.5).feed(np.zeros(10 * rate, np.float32))
    assert len(heard) == pytest.approx(10 * 16_000 / VAD_WINDOW, abs=2)
