"""Silence beside speech changes no text, and where nothing is said there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from plainspeech import audio
from plainspeech.arrays import Array
from plainspeech.runtime.recognizer import Recognizer, load_model
from plainspeech.runtime.vad import SpeechProbabilities, silero_detector

RATE = 16_000
SAMPLE = Path(__file__).parents[2] / "samples" / "2803-154328-0001.flac"
TEXT = "they had one night in which to prepare for death"
SECONDS = 5


@pytest.fixture(scope="module")
def model() -> Recognizer:
    return load_model(threads=1)


@pytest.fixture(scope="module")
def speech() -> Array:
    return audio.read(SAMPLE)


def silence(seconds: float) -> Array:
    return np.zeros(round(seconds * RATE), np.float32)


@pytest.mark.parametrize("before", [0.5, 2.0, 10.0, 20.0])
def test_zeros_before_and_after_speech_change_no_word(
    model: Recognizer, speech: Array, before: float
) -> None:
    for samples in (
        np.concatenate([silence(before), speech]),
        np.concatenate([speech, silence(before)]),
        np.concatenate([silence(before), speech, silence(before)]),
    ):
        assert model.transcribe(samples).text == TEXT


def noises() -> dict[str, Callable[[], npt.NDArray[np.float64]]]:
    """Return five seconds each of what is no speech, at about -26 dBFS."""
    random = np.random.default_rng(3)
    count = SECONDS * RATE
    time = np.arange(count) / RATE

    def coloured(exponent: float) -> npt.NDArray[np.float64]:
        spectrum = np.fft.rfft(random.standard_normal(count))
        spectrum *= np.arange(1.0, len(spectrum) + 1) ** -exponent
        noise = np.fft.irfft(spectrum, count)
        return np.asarray(0.05 * noise / noise.std())

    return {
        "zeros": lambda: np.zeros(count),
        "dither": lambda: random.integers(-1, 2, count) / 32_768,
        "white noise": lambda: coloured(0.0),
        "pink noise": lambda: coloured(0.5),
        "brown noise": lambda: coloured(1.0),
        "hum": lambda: np.sum(
            [0.04 / h * np.sin(2 * np.pi * 50 * h * time) for h in range(1, 12)], axis=0
        ),
        "a tone": lambda: 0.07 * np.sin(2 * np.pi * 1_000 * time),
        "clicks": lambda: (random.random(count) < 2 / RATE) * random.normal(0, 0.3, count),
        "a dial tone": lambda: (
            0.05
            * (np.sin(2 * np.pi * 697 * time) + np.sin(2 * np.pi * 1_209 * time))
            * (time % 0.4 < 0.2)
        ),
    }


@pytest.mark.parametrize("name", noises())
@pytest.mark.parametrize("gain", [1.0, 0.01])
def test_nothing_said_is_no_text(model: Recognizer, name: str, gain: float) -> None:
    samples = (gain * noises()[name]()).astype(np.float32)
    transcript = model.transcribe(samples)
    assert transcript.text == ""
    assert transcript.duration == SECONDS


@pytest.mark.parametrize("decibels", [-20.0, -40.0, -60.0, 6.0])
def test_speech_is_found_at_any_level(speech: Array, decibels: float) -> None:
    expected = np.array(SpeechProbabilities(RATE, silero_detector()).feed(speech))
    quiet = np.clip(speech * np.float32(10 ** (decibels / 20)), -1, 1)
    found = np.array(SpeechProbabilities(RATE, silero_detector()).feed(quiet))
    assert ((found > 0.5) == (expected > 0.5)).mean() > 0.97


@pytest.mark.parametrize("decibels", [-40.0, -60.0])
def test_quiet_recordings_give_the_text_of_loud_ones(
    model: Recognizer, speech: Array, decibels: float
) -> None:
    assert model.transcribe(speech * np.float32(10 ** (decibels / 20))).text == TEXT
