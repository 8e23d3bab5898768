"""Log-mel filter banks: one implementation for training and for use."""

from __future__ import annotations

import math
from dataclasses import dataclass

import kaldi_native_fbank as knf
import numpy as np
import numpy.typing as npt

from plainspeech.arrays import Array
from plainspeech.errors import ConfigurationError

NORMALISATIONS = ("speech", "utterance", "running", "none")


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
            around the speech changes its features (`normalise_speech`); ``"running"`` does so by
            what was heard so far, for audio that goes on; ``"none"`` leaves the logs.
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
        for name in ("sample_rate", "bins", "window_ms", "hop_ms"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigurationError(f"features.{name} is {value}; it must be above 0")
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
        if self.settings.normalise == "speech":
            waveform = at_full_scale(waveform)
        bank = knf.OnlineFbank(self._options)
        _accept(bank, waveform, self.settings)
        bank.input_finished()
        features = _frames(bank, 0, self.settings.bins)
        if self.settings.normalise == "speech":
            return normalise_speech(features)
        if self.settings.normalise == "running":
            return RunningNormalisation(self.settings.bins)(features)
        if self.settings.normalise == "utterance" and len(features):
            features -= features.mean(axis=0)
            # A silent recording has no deviation; the floor keeps it at zero instead of NaN.
            features /= np.maximum(features.std(axis=0), LEAST_DEVIATION)
        return features


def at_full_scale(waveform: Array) -> Array:
    """Return ``waveform`` scaled to a peak of 1, so that quiet speech stays above the log's floor.

    Silence is returned as it is.
    """
    peak = np.abs(waveform).max(initial=0.0)
    return waveform / peak if peak > 0 else waveform


GATES_DB = (10.0, 10.0, 30.0)
"""How far below the level found so far a frame may be and still count, pass by pass."""

SILENCE = -3.0
"""Deviations below the mean of speech to which everything quieter is raised."""


def normalise_speech(energies: Array) -> Array:
    """Bring every bin to zero mean and unit deviation over the frames of speech.

    The level of speech is that of ITU-R BS.1770's gated loudness: the mean power of all frames,
    then that of the frames no more than 10 dB below it, twice; so silence of any length hardly
    moves it. Frames within 30 dB of the level are taken for speech. What is far below their mean
    is raised to `SILENCE`: there, the background of a studio and digital zeros look alike.

    Args:
        energies: ``(frames, bins)``, natural logs of filter bank energies.

    Returns:
        ``(frames, bins)`` float32.
    """
    if not len(energies):
        return energies
    power = np.exp(energies).mean(axis=1)
    speech = np.ones(len(power), bool)
    for gate in GATES_DB:
        speech = power >= power[speech].mean() * 10 ** (-gate / 10)
    mean = energies[speech].mean(axis=0)
    # Sound that never changes has no deviation; the floor keeps it at zero instead of NaN.
    deviation = np.maximum(energies[speech].std(axis=0), LEAST_DEVIATION)
    normalised: Array = np.maximum((energies - mean) / deviation, np.float32(SILENCE))
    return normalised


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
        self._running = settings.normalise == "running"
        self._normalise = RunningNormalisation(settings.bins)
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
        return self._normalise(features) if self._running else features


class RunningNormalisation:
    """Brings every bin to zero mean and unit deviation over what was heard so far.

    Each frame moves the means of the energies and of their squares by ``1 / weight`` of its
    difference to them. The weight begins at that of the prior, a second, and grows by one a frame
    up to `HORIZON`: over the first seconds all frames count alike, after that the older ones fade.

    Args:
        bins: of the features.
    """

    PRIOR_MEAN, PRIOR_DEVIATION, PRIOR_FRAMES = -7.5, 3.7, 100.0
    """Of the log energies of read speech (train-clean-5), all bins together."""
    HORIZON = 2_000.0
    """Frames: 20 s of the usual 10 ms, so that pauses do not turn noise into speech."""

    def __init__(self, bins: int) -> None:
        square = self.PRIOR_MEAN**2 + self.PRIOR_DEVIATION**2
        self._moments = np.repeat([[self.PRIOR_MEAN], [square]], bins, axis=1)
        self._weight = self.PRIOR_FRAMES

    def __call__(self, features: Array) -> Array:
        """Return the next frames, ``(frames, bins)``, normalised; the frame itself is heard."""
        moments = np.stack([features, np.square(features, dtype=np.float64)], axis=1)
        for frame in moments:
            self._weight = min(self._weight + 1.0, self.HORIZON)
            self._moments += (frame - self._moments) / self._weight
            frame[:] = self._moments
        mean, square = moments[:, 0], moments[:, 1]
        deviation = np.sqrt(np.maximum(square - mean**2, LEAST_DEVIATION**2))
        return np.asarray((features - mean) / deviation, np.float32)


LEAST_ENERGY = float(np.finfo(np.float32).eps)
"""Kaldi's floor under the energy of a filter, before its log is taken."""

LEAST_DEVIATION = math.sqrt(LEAST_ENERGY)
"""Floor under the deviation that features are divided by."""


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
    bank.accept_waveform(settings.sample_rate, np.ascontiguousarray(waveform, np.float32))


def _frames(bank: knf.OnlineFbank, start: int, bins: int) -> Array:
    """Return the frames of ``bank`` from ``start`` on that are ready."""
    features = np.empty((bank.num_frames_ready - start, bins), np.float32)
    for index in range(len(features)):
        features[index] = bank.get_frame(start + index)
    return features
