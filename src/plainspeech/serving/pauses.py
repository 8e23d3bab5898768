"""Cuts live audio where the speaker pauses.

`plainspeech.runtime.pieces` cuts recordings into pieces that are as long as is good for a model;
here the speaker waits for an answer, so that every pause ends an utterance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plainspeech.runtime.voice import BEGINS, GOES_ON, Detector, VoiceActivity, WindowedAudio

Array = npt.NDArray[np.float32]

LONGEST = 625
"""Windows of an utterance: 20 s."""

_PAUSE = 20  # windows without speech that end an utterance: 0.64 s
_BEFORE, _AFTER = 10, 6  # windows around the speech that belong to it
_LATER = 160  # windows, at the end of an utterance that is too long, of which the quietest cuts it


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
        rate: Hz, of the stream.
        detector: of voice, new.
    """

    def __init__(self, rate: int, detector: Detector) -> None:
        self._activity = VoiceActivity(rate, detector)
        self._audio = WindowedAudio(rate)
        self._speech: list[float] = []  # the probability in each window that is not done with
        self._speaking = False
        self._silent = 0  # windows since somebody spoke

    def feed(self, block: Array) -> list[Utterance]:
        """Return the utterances that end in the next samples, ``(samples,)``."""
        self._audio.feed(block)
        found = (self._look(probability) for probability in self._activity.feed(block))
        return [utterance for utterances in found for utterance in utterances]

    def finish(self) -> list[Utterance]:
        """Return the utterance that the end of the audio ends, if there is one."""
        return [Utterance(self._audio.start, self._audio.waveform)] if self._speaking else []

    def running(self) -> Utterance | None:
        """Return what has come of the utterance that goes on; None in a pause."""
        if not self._speaking or self._silent:
            return None
        return Utterance(self._audio.start, self._audio.waveform)

    def _look(self, probability: float) -> Iterator[Utterance]:
        self._speech.append(probability)
        length = len(self._speech)
        if probability >= (GOES_ON if self._speaking else BEGINS):
            self._speaking, self._silent = True, 0
        elif self._speaking:
            self._silent += 1
        if not self._speaking:
            self._forget(length - _BEFORE)
        elif self._silent == _PAUSE:
            yield self._cut(length - _PAUSE + _AFTER)
            self._speaking = False
        elif length == LONGEST:
            later = range(LONGEST - _LATER, LONGEST)
            yield self._cut(min(later, key=self._speech.__getitem__))

    def _cut(self, windows: int) -> Utterance:
        utterance = Utterance(self._audio.start, self._audio.head(windows))
        self._forget(windows)
        return utterance

    def _forget(self, windows: int) -> None:
        if windows > 0:
            self._audio.forget(windows)
            del self._speech[:windows]
