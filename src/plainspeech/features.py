"""Log-mel filter banks: one implementation for training and for use."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

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
"""Largest values; beyond them a spectrum takes gigabytes without any use for speech."""


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
            that by the frames so far, for live audio (`RunningSpeech`); ``"running"`` by all frames
            so far, pauses included (`RunningNormalisation`); ``"none"`` leaves the logs.
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
            if not value > 0:  # or NaN
                raise ConfigurationError(f"features.{name} is {value}; it must be above 0")
            if value > most:
                shown = "beyond 1e+300" if math.inf > value > 10**300 else f"{value:g}"
                raise ConfigurationError(f"features.{name} is {shown}; it must be {most:,} or less")
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
        """Factor of the samples, so that quiet speech stays above the floor of the log.

        Where features are normalised by the level of speech it is Kaldi's, the range of 16 bits.
        """
        return 32_768.0 if self.normalise in ("speech", "running-speech") else 1.0

    def frames(self, samples: int) -> int:
        """Return the number of frames of ``samples`` samples: one a hop, rounded."""
        hop = round(self.sample_rate * self.hop_ms / 1000)
        return (samples + hop // 2) // hop


def output_frames(samples: int, settings: FeatureSettings, subsampling: int) -> int:
    """Return the number of output frames of a model for ``samples`` samples.

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
        self._bank = _MelFilters(settings)

    def __call__(self, waveform: Array) -> Array:
        """Return the features of ``waveform``.

        Args:
            waveform: ``(samples,)``, float32 in [-1, 1] at the settings' sample rate.

        Returns:
            ``(frames, bins)`` float32; no frame where the waveform is shorter than half a hop.
        """
        if self.settings.normalise == "utterance":
            waveform = raised(waveform)
        energies = _EnergyStream(self._bank)
        return normaliser(self.settings)(
            np.concatenate([energies.feed(waveform), energies.finish()])
        )


QUIET, RAISED = 0.1, 0.5
"""A peak below the first is raised to the second; of full scale."""


def raised(waveform: Array) -> Array:
    """Return ``waveform``, amplified if it is quiet, so that speech is above the log's floor.

    Normalisation by utterance cancels the gain otherwise. Silence is returned as it is.
    """
    peak = np.abs(waveform).max(initial=0.0)
    return waveform * np.float32(RAISED / peak) if 0 < peak < QUIET else waveform


def normaliser(settings: FeatureSettings) -> Callable[[Array], Array]:
    """Return a function that normalises the log energies, ``(frames, bins)``, of one waveform.

    The running ones may be called block by block.
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
    """Computes `LogMel` of a waveform block by block; the block boundaries make no difference.

    Args:
        settings: with running normalisation, or none.

    Raises:
        ConfigurationError: the settings normalise over the whole utterance.
    """

    def __init__(self, settings: FeatureSettings) -> None:
        if settings.normalise in ("speech", "utterance"):
            raise ConfigurationError(
                f"features.normalise is {settings.normalise!r}, which needs the whole utterance; "
                f"streaming needs 'running', 'running-speech' or 'none'"
            )
        self.settings = settings
        self._energies = _EnergyStream(_MelFilters(settings))
        self._normalise = normaliser(settings)

    def feed(self, waveform: Array) -> Array:
        """Return the features that ``waveform``, the next samples, completes."""
        return self._normalise(self._energies.feed(waveform))

    def finish(self) -> Array:
        """Return the last features, whose windows reach beyond the end; nothing may follow."""
        return self._normalise(self._energies.finish())


LEAST_ENERGY = float(np.finfo(np.float32).eps)
"""Kaldi's floor under the energy of a filter, before its log is taken."""

PREEMPHASIS = 0.97
POVEY_EXPONENT = 0.85  # of a Hann window
_BLOCK = 128  # frames that are computed at a time, so that they stay in the cache


class _MelFilters:
    """Log energies of mel filters, frame by frame, as Kaldi's feature-fbank.cc computes them.

    The mean of each window of samples is subtracted, high frequencies are raised (pre-emphasis),
    the window is tapered by Povey's; filters weigh the power of each frequency by a triangle on
    the mel scale. No bit of a frame depends on the others, which sums by BLAS do not guarantee.

    Args:
        settings: of the features.

    Attributes:
        settings: of the features.
        window: samples of a frame.
        hop: samples from one frame to the next.
    """

    def __init__(self, settings: FeatureSettings) -> None:
        self.settings = settings
        self.window = round(settings.sample_rate * settings.window_ms / 1000)
        self.hop = round(settings.sample_rate * settings.hop_ms / 1000)
        self._spectrum = 1 << (self.window - 1).bit_length()
        self._taper = (np.hanning(self.window) ** POVEY_EXPONENT).astype(np.float32)
        triangles = mel_triangles(settings, self._spectrum).T
        # What is not zero, filter by filter; every filter holds a frequency.
        filters, self._frequencies = np.nonzero(triangles)
        self._weights = triangles[filters, self._frequencies].astype(np.float32)
        self._starts = np.searchsorted(filters, np.arange(settings.bins))

    def __call__(self, samples: Array) -> Array:
        """Return the log energies of all whole windows in ``samples``, ``(frames, bins)``."""
        frames = max(0, (len(samples) - self.window) // self.hop + 1)
        energies = np.empty((frames, self.settings.bins), np.float32)
        for first in range(0, frames, _BLOCK):
            block = energies[first : first + _BLOCK]
            start = first * self.hop
            self._compute(samples[start : start + (len(block) - 1) * self.hop + self.window], block)
        return energies

    def _compute(self, samples: Array, energies: Array) -> None:
        """Write the log energies of the windows in ``samples``, one block, to ``energies``."""
        frames = np.lib.stride_tricks.sliding_window_view(samples, self.window)[:: self.hop]
        centred = frames - frames.mean(axis=1, keepdims=True)
        tapered = np.zeros((len(frames), self._spectrum), np.float32)
        # Not of a window's first sample, where the taper is zero.
        emphasised = tapered[:, 1 : self.window]
        np.multiply(centred[:, :-1], np.float32(-PREEMPHASIS), out=emphasised)
        emphasised += centred[:, 1:]
        emphasised *= self._taper[1:]
        spectra = np.fft.rfft(tapered)
        power = np.square(spectra.real, dtype=np.float32) + np.square(
            spectra.imag, dtype=np.float32
        )
        weighted = np.take(power, self._frequencies, axis=1) * self._weights
        np.add.reduceat(weighted, self._starts, axis=1, out=energies)
        np.log(np.maximum(energies, np.float32(LEAST_ENERGY)), out=energies)


class _EnergyStream:
    """Applies a `_MelFilters` to one waveform block by block; boundaries make no difference.

    A frame is centred on each hop and the waveform is mirrored at its ends, so that the number of
    frames depends on the duration alone.

    Args:
        bank: the filters.
    """

    def __init__(self, bank: _MelFilters) -> None:
        self._bank = bank
        self._samples = np.empty(0, np.float32)  # that later frames need
        self._next = bank.hop // 2 - bank.window // 2  # first sample of the next frame, among them
        self._received = self._done = 0  # samples, frames

    def feed(self, waveform: Array) -> Array:
        """Return the frames that ``waveform``, the next samples, completes, ``(frames, bins)``."""
        bank = self._bank
        scaled = np.asarray(waveform * np.float32(bank.settings.gain), np.float32)
        self._samples = np.concatenate([self._samples, scaled])
        self._received += len(scaled)
        if self._next < 0 and len(self._samples) >= self._next + bank.window:
            self._mirror(0)
        energies = bank(self._samples[self._next :]) if self._next >= 0 else bank(scaled[:0])
        self._done += len(energies)
        self._next += len(energies) * bank.hop
        # The end may be mirrored, as far as a window reaches.
        over = min(self._next, len(self._samples) - bank.window)
        if over > 0:
            self._samples = self._samples[over:].copy()
            self._next -= over
        return energies

    def finish(self) -> Array:
        """Return the frames whose windows reach beyond the end; nothing may follow."""
        bank = self._bank
        left = bank.settings.frames(self._received) - self._done
        if left:
            self._mirror(
                max(0, self._next + (left - 1) * bank.hop + bank.window - len(self._samples))
            )
        return bank(self._samples[self._next :])[:left]

    def _mirror(self, after: int) -> None:
        """Mirror ``after`` samples at the end, and at the start what the next frame has before."""
        before = max(0, -self._next)
        self._samples = np.pad(self._samples, (before, after), "symmetric")
        self._next += before


def mel_triangles(settings: FeatureSettings, spectrum: int) -> npt.NDArray[np.float64]:
    """Return the weight of each frequency in each filter, ``(spectrum // 2 + 1, bins)``.

    Triangles on the mel scale; Kaldi leaves the highest frequency out.

    Args:
        settings: of the features.
        spectrum: samples of the Fourier transform.
    """
    places = mel(np.arange(spectrum // 2) * settings.sample_rate / spectrum)[:, None]
    edges = np.linspace(mel(settings.low_hz), mel(settings.high_hz), settings.bins + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (places - left) / (centre - left), (right - places) / (right - centre)
    weights = np.maximum(np.minimum(rising, falling), 0.0)
    return np.pad(weights, ((0, 1), (0, 0)))
