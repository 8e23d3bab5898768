"""Cuts audio that is still arriving where the speaker pauses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

Detector = Callable[[Array], float]
"""Takes the next `WINDOW` samples at 16 kHz; gives the probability that somebody speaks."""

WINDOW = 512
"""Samples."""

_BEGINS, _GOES_ON = 0.5, 0.35  # probabilities; two, lest a wavering one cut words
_PAUSE = 20  # windows without speech that end an utterance: 0.64 s
_BEFORE, _AFTER = 10, 6  # windows around the speech that belong to it
_LONGEST = 625  # windows: 20 s
_SEEK = 160  # windows, at the end of an utterance that is too long, of which the quietest cuts it


@dataclass(frozen=True)
class Utterance:
    """Speech between two pauses.

    Attributes:
        start: samples from the start of the audio.
        waveform: ``(samples,)``.
    """

    start: int
    waveform: Array


class PauseCutter:
    """Finds the utterances of one stream.

    Args:
        detector: of this stream.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._rest = np.empty(0, np.float32)
        self._windows: list[Array] = []  # of the utterance, or the last of the silence
        self._speech: list[float] = []  # the probability of each
        self._first = 0  # number of the first of them
        self._speaking = False
        self._silent = 0  # windows since the last speech

    def feed(self, waveform: Array) -> list[Utterance]:
        """Return the utterances that end in the next samples, ``(samples,)`` at 16 kHz."""
        samples = np.concatenate([self._rest, waveform])
        whole = len(samples) // WINDOW * WINDOW
        self._rest = samples[whole:]
        windows = samples[:whole].reshape(-1, WINDOW)
        return [utterance for window in windows for utterance in self._look(window)]

    def finish(self) -> list[Utterance]:
        """Return the utterance that the end of the audio cuts off, if there is one."""
        if not self._speaking:
            return []
        self._windows.append(self._rest)
        return [self._cut(len(self._windows))]

    def running(self) -> Utterance | None:
        """Return what has come of the utterance that goes on; None in a pause."""
        if not self._speaking or self._silent:
            return None
        return Utterance(self._first * WINDOW, np.concatenate(self._windows))

    def _look(self, window: Array) -> Iterator[Utterance]:
        probability = self._detector(window)
        self._windows.append(window)
        self._speech.append(probability)
        if probability >= (_GOES_ON if self._speaking else _BEGINS):
            self._speaking, self._silent = True, 0
        elif self._speaking:
            self._silent += 1
        if not self._speaking:
            self._forget(len(self._windows) - _BEFORE)
        elif self._silent == _PAUSE:
            yield self._cut(len(self._windows) - _PAUSE + _AFTER)
            self._speaking = False
        elif len(self._windows) == _LONGEST:
            quietest = min(range(_LONGEST - _SEEK, _LONGEST), key=self._speech.__getitem__)
            yield self._cut(quietest)

    def _cut(self, windows: int) -> Utterance:
        start, waveform = self._first * WINDOW, np.concatenate(self._windows[:windows])
        self._forget(windows)
        return Utterance(start, waveform)

    def _forget(self, windows: int) -> None:
        if windows > 0:
            del self._windows[:windows], self._speech[:windows]
            self._first += windows
