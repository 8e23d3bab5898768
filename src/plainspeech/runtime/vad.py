"""Voice activity detection by Silero's network (https://github.com/snakers4/silero-vad, MIT).

``silero_vad.onnx`` has its weights for 16 kHz in a graph that processes many windows in a run;
``scripts/derive_voice_detector.py`` describes and writes it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from plainspeech.arrays import Array
from plainspeech.audio import resampler
from plainspeech.normalisation import RunningLevel

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

SpeechDetector = Callable[[Array], Array]
"""Takes the next windows, ``(windows, VAD_WINDOW)`` at `VAD_RATE`; returns the probability of
speech in each, ``(windows,)``."""

VAD_RATE = 16_000
"""Hz."""

VAD_WINDOW = 512
"""Samples; 32 ms."""

SPEECH_ONSET, SPEECH_OFFSET = 0.5, 0.35
"""Probabilities at which speech begins and below which it ends: hysteresis, so that a probability
that wavers around one threshold does not cut words."""

_T = TypeVar("_T")


_SPEECH_POWER = 10 ** (-26 / 10)
"""Of full scale; the usual level of speech, which detectors expect (ITU-T P.56, P.835)."""

_GAINS = (10 ** (-20 / 20), 10 ** (60 / 20))
"""The least and the most; more would amplify quantisation noise to the level of speech."""

_HORIZON = 625
"""Windows, the time constant of the level: 20 s."""

_CONTEXT = 64
"""Samples before a window that are part of the network's input."""

_BATCH = 64
"""Windows of a run, at most; more take more memory and gain nothing."""


class SileroDetector:
    """A detector for one stream; it has a state.

    It first brings every window to the usual level of speech, by the `RunningLevel` of the windows
    so far: Silero's network detects no speech that is far too quiet. How many windows come in a
    call makes no difference.
    """

    def __init__(self) -> None:
        self._session = _silero()
        self._state = np.zeros((2, 1, 128), np.float32)
        self._context = np.zeros(_CONTEXT, np.float32)
        self._level = RunningLevel(_HORIZON)

    def __call__(self, windows: Array) -> Array:
        """Return the probability of speech in each of the next ``windows``, as `SpeechDetector`."""
        starts = range(0, len(windows), _BATCH)
        return np.concatenate([self._run(windows[start : start + _BATCH]) for start in starts])

    def _run(self, windows: Array) -> Array:
        scaled = np.clip(windows * self._gains(windows)[:, None], -1, 1)
        ends = scaled[:, -_CONTEXT:]
        contexts = np.concatenate([self._context[None], ends[:-1]])
        inputs = {"windows": np.concatenate([contexts, scaled], axis=1), "state": self._state}
        probabilities, self._state = self._session.run(["probabilities", "next_state"], inputs)
        self._context = ends[-1]
        return np.asarray(probabilities)

    def _gains(self, windows: Array) -> Array:
        """Return the gain that brings each of ``windows`` to `_SPEECH_POWER`."""
        levels = []
        for power in np.square(windows, dtype=np.float64).mean(axis=1).tolist():
            self._level.update(power)
            # Before the first sample that is not zero, any gain will do.
            levels.append(self._level.power or _SPEECH_POWER)
        return np.sqrt(_SPEECH_POWER / np.array(levels)).clip(*_GAINS).astype(np.float32)


def silero_detector() -> SpeechDetector:
    """Return a new `SileroDetector`."""
    return SileroDetector()


@cache
def _silero() -> InferenceSession:
    """Return the network, which all streams share."""
    # Imported here, since decoding arrays needs no onnxruntime.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    content = Path(__file__).with_name("silero_vad.onnx").read_bytes()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


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
        if not whole:
            return []
        probabilities = self._detector(samples[:whole].reshape(-1, VAD_WINDOW))
        return [float(probability) for probability in probabilities]


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
        self._blocks = [np.empty(0, np.float32)]  # from the first pending window
        self._first_window = 0
        self._pending = 0  # windows
        self._silent = 0  # windows since the last one with speech
        self._in_speech = False  # whether `SPEECH_OFFSET` is the threshold of the next window

    def feed(self, block: Array) -> list[_T]:
        """Return what the next samples, ``(samples,)``, complete."""
        self._blocks.append(block.copy())
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
    def _waveform(self) -> Array:
        """The samples of the pending windows, and those after them."""
        # Joined when they are needed: all that is pending, at every block, took a fifth of the
        # time of detection, and the interpreter's lock.
        if len(self._blocks) > 1:
            self._blocks = [np.concatenate(self._blocks)]
        return self._blocks[0]

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
            self._blocks = [self._waveform[self._sample(windows) - self._start :]]
            self._first_window += windows
            self._pending -= windows
