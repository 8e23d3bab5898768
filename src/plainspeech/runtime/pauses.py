"""Cuts live audio where the speaker pauses.

`plainspeech.runtime.pieces` cuts recordings into pieces that are as long as is good for a model;
here the speaker waits for an answer, so that every pause ends an utterance, and what has been said
is passed on at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from plainspeech.arrays import Array
from plainspeech.runtime.voice import BEGINS, GOES_ON, Detector, VoiceActivity, WindowedAudio

LONGEST = 625
"""Windows of an utterance: 20 s."""

_LONG = 250  # windows, 8 s; from here on an utterance ends in ever shorter pauses
_PAUSE = 20  # windows without speech that end an utterance: 0.64 s
_BEFORE, _AFTER = 10, 6  # windows around the speech that belong to it


@dataclass(frozen=True)
class Stretch:
    """The next samples of an utterance.

    Attributes:
        start: samples from the start of the audio.
        waveform: ``(samples,)``; it may be none where the utterance ends.
        ends: whether the utterance ends with them; what comes next begins another.
    """

    start: int
    waveform: Array
    ends: bool = False


class PauseCutter:
    """Finds the utterances of one stream, and passes them on as they come.

    A pause ends an utterance. What lasts long ends in shorter ones: by what was said until then,
    not where it would be best to look back, for a model that streams has heard it already.

    Args:
        rate: Hz, of the stream.
        detector: of voice, new.

    Attributes:
        found: seconds of utterances so far.
    """

    def __init__(self, rate: int, detector: Detector) -> None:
        self._activity = VoiceActivity(rate, detector)
        self._audio = WindowedAudio(rate)
        self._kept = 0  # windows that have not been passed on
        self._length = 0  # windows of the utterance that goes on; 0 if none does
        self._silent = 0  # windows since somebody spoke
        self._threshold = BEGINS
        self._rate = rate
        self.found = 0.0

    def feed(self, block: Array) -> list[Stretch]:
        """Return what the next samples, ``(samples,)``, bring of utterances."""
        self._audio.feed(block)
        found = (self._look(probability) for probability in self._activity.feed(block))
        return [stretch for stretches in found for stretch in stretches]

    def finish(self) -> list[Stretch]:
        """Return the end of the utterance that the end of the audio ends, if there is one."""
        if not self._length:
            return []
        return [self._passed_on(self._audio.waveform, ends=True)]

    def _look(self, probability: float) -> Iterator[Stretch]:
        speaks = probability >= self._threshold
        self._kept += 1
        self._silent = 0 if speaks else self._silent + 1
        if self._length:
            self._length += 1
        elif speaks:
            self._length = self._kept
        if not self._length:
            self._forget(self._kept - _BEFORE)
        elif self._is_over():
            yield self._head(self._kept if self._silent <= _AFTER else 0, ends=True)
            self._length = 0
        elif self._silent <= _AFTER:  # what follows is kept back until somebody speaks again
            yield self._head(self._kept)
        self._threshold = GOES_ON if self._length or speaks else BEGINS

    def _is_over(self) -> bool:
        left = LONGEST - self._length
        share = min(1.0, left / (LONGEST - _LONG))
        return left == 0 or self._silent >= max(1, round(_PAUSE * share**2))

    def _head(self, windows: int, ends: bool = False) -> Stretch:
        """Return the first ``windows`` that were kept, and forget them."""
        stretch = self._passed_on(self._audio.head(windows), ends)
        self._forget(windows)
        return stretch

    def _passed_on(self, waveform: Array, ends: bool) -> Stretch:
        self.found += len(waveform) / self._rate
        return Stretch(self._audio.start, waveform, ends)

    def _forget(self, windows: int) -> None:
        if windows > 0:
            self._audio.forget(windows)
            self._kept -= windows
