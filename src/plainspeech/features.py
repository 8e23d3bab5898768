"""Log-mel filter banks: one implementation for training and for use."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import kaldi_native_fbank as knf
import numpy as np
import numpy.typing as npt

from plainspeech.arrays import Array
from plainspeech.errors import ConfigurationError
from plainspeech.normalisation import (
    RunningNormalisation,
    RunningSpeech,
    normalise_speech,
    normalise_utterance,
)

NORMALISATIONS = ("speech", "running-speech", "utterance", "running", "none")


_LARGEST = {"sample_rate": 384_000, "bins": 1_024, "window_ms": 1_000, "hop_ms": 1_000}
"""Beyond them a spectrum takes gigabytes, and nothing is learnt of speech."""


@dataclass(frozen=True)
class FeatureSettings:
    """How a waveform becomes features; stored in every checkpoint and model bundle.

    Attributes:
        sample_rate: Hz.
        bins: mel filters.
        window_ms: length of the analysis window (Povey's), zero-padded to a power of two samples.
        hop_ms: from one frame to the next.
        low_hz: lower edge of the first filter.
        high_hz: upper edge of the last filter.
        normalise: ``"utterance"`` brings every bin to zero mean and unit deviation over the
            utterance, which removes the microphone and the loudness; ``"speech"`` does so over
            the frames that are loud enough to be speech, so that neither the level nor silence
            around the speech changes its features (`normalise_speech`); ``"running-speech"`` does
            that by what was heard so far, for live audio (`RunningSpeech`); ``"running"`` by all
            that was heard so far, pauses included; ``"none"`` leaves the logs.
    """

    sample_rate: int = 16_000
    bins: int = 80
    window_ms: float = 25.0
    hop_ms: float = 10.0
    low_hz: float = 20.0
    high_hz: float = 7_600.0
    normalise: str = "utterance"

    def __post_init__(self) -> None:
        self._check_sizes()
        if self.normalise not in NORMALISATIONS:
            raise ConfigurationError(
                f"features.normalise is {self.normalise!r}; it can be {', '.join(NORMALISATIONS)}"
            )
        if not 0 <= self.low_hz < self.high_hz <= self.sample_rate / 2:
            raise ConfigurationError(
                f"features: 0 <= low_hz < high_hz <= {self.sample_rate / 2:g} must hold"
            )
        empty = self.empty_filters()
        if empty:
            raise ConfigurationError(
                f"features: {len(empty)} of {self.bins} mel filters hold no frequency of the "
                f"spectrum; use fewer bins or a longer window_ms"
            )

    def _check_sizes(self) -> None:
        for name, most in _LARGEST.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigurationError(f"features.{name} is {value}; it must be above 0")
            if value > most:
                raise ConfigurationError(
                    f"features.{name} is {value:g}; it must be {most:,} or less"
                )
        # The ends of Povey's window are two samples.
        for name, fewest in (("window_ms", 2), ("hop_ms", 1)):
            value = getattr(self, name)
            if round(self.sample_rate * value / 1000) < fewest:
                raise ConfigurationError(
                    f"features.{name} is {value:g}; it must hold {fewest} samples or more"
                )

    def empty_filters(self) -> list[int]:
        """Return the filters between whose edges no frequency of the spectrum falls."""
        window = round(self.sample_rate * self.window_ms / 1000)
        fft = 1 << (window - 1).bit_length()
        spectrum = mel(np.arange(fft // 2) * self.sample_rate / fft)
        edges = np.linspace(mel(self.low_hz), mel(self.high_hz), self.bins + 2)
        inside = (spectrum > edges[:-2, None]) & (spectrum < edges[2:, None])
        return [int(index) for index in np.flatnonzero(~inside.any(axis=1))]

    @property
    def gain(self) -> float:
        """What samples are multiplied by, so that quiet speech stays above the log's floor.

        As Kaldi takes them, in 16 bits, where the level of speech is all that normalisation sees.
        """
        return 32_768.0 if self.normalise in ("speech", "running-speech") else 1.0

    def frames(self, samples: int) -> int:
        """Return how many frames ``samples`` samples give: one a hop, rounded."""
        hop = round(self.sample_rate * self.hop_ms / 1000)
        return (samples + hop // 2) // hop


def output_frames(samples: int, settings: FeatureSettings, subsampling: int) -> int:
    """Return how many frames a model gives for ``samples`` samples.

    Args:
        samples: of a waveform at the settings' sample rate.
        settings: of the features.
        subsampling: feature frames for each output frame; the last may hold fewer.
    """
    return -(-settings.frames(samples) // subsampling)


def mel(hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return ``hz`` on the mel scale that Kaldi and HTK use."""
    return np.asarray(1127.0 * np.log1p(np.asarray(hz, dtype=np.float64) / 700.0))


class LogMel:
    """Log-mel filter bank energies of a waveform, as Kaldi computes them, without dither."""

    def __init__(self, settings: FeatureSettings) -> None:
        self.settings = settings
        self._options = _options(settings)

    def __call__(self, waveform: Array) -> Array:
        """Return the features of ``waveform``.

        Args:
            waveform: ``(samples,)``, float32 in [-1, 1] at the settings' sample rate.

        Returns:
            ``(frames, bins)`` float32; no frame where the waveform is shorter than half a hop.
        """
        if self.settings.normalise == "utterance":
            waveform = raised(waveform)
        bank = knf.OnlineFbank(self._options)
        _accept(bank, waveform, self.settings)
        bank.input_finished()
        return normaliser(self.settings)(_frames(bank, 0, self.settings.bins))


QUIET, RAISED = 0.1, 0.5
"""A peak below the first is raised to the second; of full scale."""


def raised(waveform: Array) -> Array:
    """Return ``waveform``, louder where it is quiet, so that its speech is above the log's floor.

    Normalisation by utterance sees no other difference. Silence is returned as it is.
    """
    peak = np.abs(waveform).max(initial=0.0)
    return waveform * np.float32(RAISED / peak) if 0 < peak < QUIET else waveform


def normaliser(settings: FeatureSettings) -> Callable[[Array], Array]:
    """Return what normalises the log energies, ``(frames, bins)``, of one waveform.

    Those of live audio take them piece by piece.
    """
    if settings.normalise == "running-speech":
        return RunningSpeech(settings.bins)
    if settings.normalise == "running":
        return RunningNormalisation(settings.bins)
    return {
        "speech": normalise_speech,
        "utterance": normalise_utterance,
        "none": lambda energies: energies,
    }[settings.normalise]


class LogMelStream:
    """What `LogMel` gives, of a waveform that arrives in pieces; cuts make no difference.

    Args:
        settings: not those that normalise by utterance, which would have to be over first.

    Raises:
        ConfigurationError: they are.
    """

    def __init__(self, settings: FeatureSettings) -> None:
        if settings.normalise in ("speech", "utterance"):
            raise ConfigurationError(
                "features that are normalised by utterance cannot be had before it is over"
            )
        self.settings = settings
        self._bank = knf.OnlineFbank(_options(settings))
        self._normalise = normaliser(settings)
        self._done = 0

    def feed(self, waveform: Array) -> Array:
        """Return the features that ``waveform``, the next samples, completes."""
        if len(waveform):
            _accept(self._bank, waveform, self.settings)
        return self._ready()

    def finish(self) -> Array:
        """Return the features of the end, whose windows reach beyond it; nothing may follow."""
        self._bank.input_finished()
        return self._ready()

    def _ready(self) -> Array:
        features = _frames(self._bank, self._done, self.settings.bins)
        # The bank would keep what it gave.
        self._bank.pop(len(features))
        self._done += len(features)
        return self._normalise(features)


LEAST_ENERGY = float(np.finfo(np.float32).eps)
"""Kaldi's floor under the energy of a filter, before its log is taken."""


def _options(settings: FeatureSettings) -> knf.FbankOptions:
    options = knf.FbankOptions()
    options.frame_opts.samp_freq = settings.sample_rate
    options.frame_opts.frame_length_ms = settings.window_ms
    options.frame_opts.frame_shift_ms = settings.hop_ms
    options.frame_opts.dither = 0.0
    # A frame is centred on each hop and the edges are mirrored, so that the number of frames
    # depends on the duration alone.
    options.frame_opts.snip_edges = False
    options.mel_opts.num_bins = settings.bins
    options.mel_opts.low_freq = settings.low_hz
    options.mel_opts.high_freq = settings.high_hz
    return options


def _accept(bank: knf.OnlineFbank, waveform: Array, settings: FeatureSettings) -> None:
    waveform = np.ascontiguousarray(waveform * np.float32(settings.gain), np.float32)
    bank.accept_waveform(settings.sample_rate, waveform)


def _frames(bank: knf.OnlineFbank, start: int, bins: int) -> Array:
    """Return the frames of ``bank`` from ``start`` on that are ready."""
    features = np.empty((bank.num_frames_ready - start, bins), np.float32)
    for index in range(len(features)):
        features[index] = bank.get_frame(start + index)
    return features
