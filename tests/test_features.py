from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import kaldi_native_fbank as knf
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainspeech import audio
from plainspeech.arrays import Array
from plainspeech.errors import PlainspeechError
from plainspeech.features import FeatureSettings, LogMel, LogMelStream, raised
from plainspeech.normalisation import RunningNormalisation, normalise_utterance

PLAIN = FeatureSettings(normalise="none")


def noise(samples: int, seed: int = 0) -> Array:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def by_definition(waveform: Array, settings: FeatureSettings) -> npt.NDArray[np.float64]:
    """Kaldi's log-mel filter banks, written out (its feature-window.cc and mel-computations.cc)."""
    window = round(settings.sample_rate * settings.window_ms / 1000)
    hop = round(settings.sample_rate * settings.hop_ms / 1000)
    starts = np.arange(settings.frames(len(waveform))) * hop + hop // 2 - window // 2
    places = starts[:, None] + np.arange(window)
    places = np.where(places < 0, -places - 1, places)  # the edges are mirrored
    places = np.where(places >= len(waveform), 2 * len(waveform) - 1 - places, places)
    frames = waveform.astype(np.float64)[places]
    frames -= frames.mean(axis=1, keepdims=True)
    frames -= 0.97 * np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    povey = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / (window - 1))) ** 0.85
    fft = 1 << (window - 1).bit_length()
    power = np.abs(np.fft.rfft(frames * povey, fft))[:, : fft // 2] ** 2

    def mel(hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return np.asarray(1127 * np.log(1 + np.asarray(hz, np.float64) / 700))

    edges = np.linspace(mel(settings.low_hz), mel(settings.high_hz), settings.bins + 2)[:, None]
    bins = mel(np.arange(fft // 2) * settings.sample_rate / fft)
    up = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    down = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    energies = power @ np.maximum(0, np.minimum(up, down)).T
    return np.asarray(np.log(np.maximum(energies, np.finfo(np.float32).eps)))


@pytest.mark.parametrize(
    "settings",
    [
        PLAIN,
        replace(PLAIN, bins=40, window_ms=20),
        replace(PLAIN, sample_rate=8_000, bins=40, high_hz=3_800),
    ],
)
def test_features_are_kaldis(settings: FeatureSettings) -> None:
    waveform = noise(8_000)
    found = LogMel(settings)(waveform)
    np.testing.assert_allclose(found, by_definition(waveform, settings), atol=2e-3)


def by_kaldi(waveform: Array, settings: FeatureSettings) -> Array:
    """kaldi-native-fbank's log-mel filter banks."""
    options = knf.FbankOptions()
    options.frame_opts.samp_freq = settings.sample_rate
    options.frame_opts.frame_length_ms = settings.window_ms
    options.frame_opts.frame_shift_ms = settings.hop_ms
    options.frame_opts.dither = 0.0
    options.frame_opts.snip_edges = False
    options.mel_opts.num_bins = settings.bins
    options.mel_opts.low_freq = settings.low_hz
    options.mel_opts.high_freq = settings.high_hz
    bank = knf.OnlineFbank(options)
    bank.accept_waveform(settings.sample_rate, waveform)
    bank.input_finished()
    return np.array([bank.get_frame(index) for index in range(bank.num_frames_ready)])


@given(
    samples=st.integers(80, 20_000),
    window_ms=st.sampled_from([20.0, 25.0, 32.0, 51.1875]),
    hop_ms=st.sampled_from([5.0, 10.0, 12.5, 60.0]),
    low_hz=st.sampled_from([0.0, 20.0, 60.0]),
    offset=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 99),
)
@settings(max_examples=100)
def test_features_are_kaldi_native_fbanks(
    samples: int, window_ms: float, hop_ms: float, low_hz: float, offset: float, seed: int
) -> None:
    """Both, and all the lengths of their ends; what differs is how float32 rounds."""
    settings = replace(PLAIN, bins=40, window_ms=window_ms, hop_ms=hop_ms, low_hz=low_hz)
    waveform = noise(samples, seed) + np.float32(offset)
    found, theirs = LogMel(settings)(waveform), by_kaldi(waveform, settings)
    if not settings.frames(samples):
        assert found.shape == (0, 40)
        return
    assert found.shape == theirs.shape
    difference = np.abs(found - theirs)
    assert difference.mean() < 1e-4
    assert difference.max() < 0.05  # of what hardly has energy


def test_features_of_speech_are_nearer_to_the_definition_than_kaldi_native_fbanks(
    request: pytest.FixtureRequest,
) -> None:
    waveform = audio.read(request.config.rootpath / "samples/2412-153954-0002.flac")
    defined, found = by_definition(waveform, PLAIN), LogMel(PLAIN)(waveform)
    error = np.abs(found - defined)
    assert error.mean() < 2e-6
    assert error.max() < 1e-3
    assert error.mean() < np.abs(by_kaldi(waveform, PLAIN) - defined).mean()
    difference = np.abs(
        LogMel(FeatureSettings())(waveform) - normalise_utterance(by_kaldi(raised(waveform), PLAIN))
    )
    assert difference.mean() < 2e-6
    assert difference.max() < 1e-3


@given(samples=st.integers(0, 2_000), hop_ms=st.sampled_from([5.0, 10.0, 12.5]))
@settings(max_examples=60)
def test_the_number_of_frames_is_known_beforehand(samples: int, hop_ms: float) -> None:
    settings = FeatureSettings(hop_ms=hop_ms)
    features = LogMel(settings)(noise(samples))
    assert features.shape == (settings.frames(samples), settings.bins)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_the_same_waveform_gives_the_same_bits() -> None:
    log_mel, waveform = LogMel(FeatureSettings()), noise(16_000)
    first = log_mel(waveform)
    log_mel(noise(5_000, seed=1))  # nothing is left of what came between
    np.testing.assert_array_equal(log_mel(waveform), first)
    np.testing.assert_array_equal(LogMel(FeatureSettings())(waveform.astype(np.float64)), first)
    every_second = np.repeat(waveform, 2)[::2]
    np.testing.assert_array_equal(log_mel(every_second), first)


def test_the_waveform_is_left_as_it_was() -> None:
    waveform = noise(4_000)
    LogMel(FeatureSettings())(waveform)
    np.testing.assert_array_equal(waveform, noise(4_000))


def test_normalised_features_have_no_mean_and_unit_deviation() -> None:
    features = LogMel(FeatureSettings())(noise(32_000))
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(features.std(axis=0), 1, atol=1e-3)


@given(st.floats(0.25, 9))
@settings(max_examples=20)
def test_normalised_features_do_not_depend_on_loudness(gain: float) -> None:
    log_mel, waveform = LogMel(FeatureSettings()), noise(8_000)
    louder = (waveform * np.float32(gain)).astype(np.float32)
    np.testing.assert_allclose(log_mel(louder), log_mel(waveform), atol=5e-3)


@pytest.mark.parametrize("samples", [80, 160, 16_000])
def test_silence_is_zero_to_a_rounding(samples: int) -> None:
    features = LogMel(FeatureSettings())(np.zeros(samples, np.float32))
    np.testing.assert_allclose(features, 0, atol=0.01)


def test_a_tone_is_loudest_in_the_filter_around_it() -> None:
    time = np.arange(16_000) / 16_000
    features = LogMel(PLAIN)(np.sin(2 * np.pi * 1_000 * time).astype(np.float32))
    edges = np.linspace(math.log1p(20 / 700), math.log1p(7_600 / 700), 82)
    nearest = int(np.abs(edges[1:-1] - math.log1p(1_000 / 700)).argmin())
    assert set(features[5:-5].argmax(axis=1)) == {nearest}


def test_the_defaults_have_no_empty_filter_and_the_references_have() -> None:
    assert FeatureSettings().empty_filters() == []
    with pytest.raises(PlainspeechError, match="of 128 mel filters hold no frequency"):
        FeatureSettings(bins=128)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"normalise": "global"}, "features.normalise is 'global'"),
        ({"high_hz": 8_001}, "low_hz < high_hz <= 8000"),
        ({"low_hz": -1}, "0 <= low_hz"),
        ({"low_hz": 7_600}, "low_hz < high_hz"),
        ({"bins": 200}, "use fewer bins"),
        ({"bins": 0}, "features.bins is 0; it must be above 0"),
        ({"bins": -1}, "features.bins is -1"),
        ({"hop_ms": 0.0}, r"features.hop_ms is 0\.0; it must be above 0"),
        ({"hop_ms": -10.0}, "features.hop_ms is -10"),
        ({"hop_ms": math.nan}, "features.hop_ms is nan"),
        ({"hop_ms": 0.01}, r"features.hop_ms is 0\.01; it must hold 1 samples or more"),
        ({"window_ms": 0.0}, r"features.window_ms is 0\.0"),
        ({"window_ms": math.inf}, "features.window_ms is inf"),
        ({"window_ms": 1e12}, r"features.window_ms is 1e\+12; it must be 1,000 or less"),
        ({"bins": 10**9}, r"features.bins is 1e\+09; it must be 1,024 or less"),
        ({"sample_rate": 10**9}, r"features.sample_rate is 1e\+09; it must be 384,000 or less"),
        ({"hop_ms": 1e9}, r"features.hop_ms is 1e\+09; it must be 1,000 or less"),
        ({"window_ms": 0.05}, r"features.window_ms is 0\.05; it must hold 2 samples or more"),
        ({"sample_rate": 0}, "features.sample_rate is 0; it must be above 0"),
        (
            {"sample_rate": 10**400},
            r"features.sample_rate is beyond 1e\+300; it must be 384,000 or",
        ),
        ({"sample_rate": -16_000}, "features.sample_rate is -16000"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(PlainspeechError, match=says):
        replace(FeatureSettings(), **changes)


RUNNING = replace(PLAIN, normalise="running")


@given(
    samples=st.integers(0, 6_000),
    pieces=st.lists(st.integers(0, 1_500), max_size=8),
    normalise=st.sampled_from(["running", "running-speech", "none"]),
    window_ms=st.sampled_from([25.0, 31.1875]),
    hop_ms=st.sampled_from([5.0, 10.0, 60.0]),
)
@settings(max_examples=100)
def test_pieces_give_the_bits_of_the_whole(
    samples: int, pieces: list[int], normalise: str, window_ms: float, hop_ms: float
) -> None:
    settings = replace(PLAIN, normalise=normalise, window_ms=window_ms, hop_ms=hop_ms)
    waveform, stream, start = noise(samples), LogMelStream(settings), 0
    found = []
    for piece in pieces:
        found.append(stream.feed(waveform[start : start + piece]))
        start += piece
    found += [stream.feed(waveform[start:]), stream.finish()]
    np.testing.assert_array_equal(np.concatenate(found), LogMel(settings)(waveform))


def test_frames_come_as_soon_as_their_window_is_there() -> None:
    stream = LogMelStream(RUNNING)
    # Frame 0 is centred on 5 ms and 25 ms long: it ends at 17.5 ms.
    assert len(stream.feed(noise(279))) == 0
    assert len(stream.feed(noise(1))) == 1
    assert len(stream.feed(noise(320))) == 2


def test_a_stream_cannot_normalise_by_utterance() -> None:
    with pytest.raises(PlainspeechError, match="which needs the whole utterance"):
        LogMelStream(FeatureSettings())


def by_running_definition(energies: Array) -> npt.NDArray[np.float64]:
    """`RunningNormalisation` from its docstring, frame by frame and without a state."""
    weight, prior = RunningNormalisation, RunningNormalisation.PRIOR_MEAN
    mean = np.full(energies.shape[1], prior)
    square = mean**2 + weight.PRIOR_DEVIATION**2
    rows = []
    for index, frame in enumerate(energies.astype(np.float64), start=1):
        share = 1 / min(weight.PRIOR_FRAMES + index, weight.HORIZON)
        mean = (1 - share) * mean + share * frame
        square = (1 - share) * square + share * frame**2
        rows.append((frame - mean) / np.sqrt(square - mean**2))
    return np.array(rows)


def test_running_normalisation_is_as_defined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunningNormalisation, "HORIZON", 150.0)
    waveform = noise(32_000)
    found = LogMel(RUNNING)(waveform)
    np.testing.assert_allclose(found, by_running_definition(LogMel(PLAIN)(waveform)), atol=1e-4)


def test_the_level_is_forgotten() -> None:
    loud, quiet = (LogMel(RUNNING)(gain * noise(160_000)) for gain in (np.float32(5), 0.05))
    assert abs(float(loud[0].mean() - quiet[0].mean())) > 1.5
    assert abs(float(loud[-100:].mean() - quiet[-100:].mean())) < 0.3


def test_running_normalisation_of_silence_is_finite() -> None:
    assert np.isfinite(LogMel(RUNNING)(np.zeros(800_000, np.float32))).all()
