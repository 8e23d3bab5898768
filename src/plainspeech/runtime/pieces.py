"""Cuts audio of any length into pieces that a model can take at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from plainspeech.arrays import Array
from plainspeech.runtime.voice import (
    BEGINS,
    GOES_ON,
    RATE,
    WINDOW,
    Detector,
    VoiceActivity,
    WindowedAudio,
)

SECONDS = WINDOW / RATE
"""Of a window, which is what times are counted in below."""


def _windows(seconds: float) -> int:
    return round(seconds / SECONDS)


_LONGEST = _windows(20)
_LONG = _windows(8)  # what is longer ends in a pause, what is shorter in a long pause only
_PAUSE, _LONG_PAUSE = _windows(0.6), _windows(2)
_SHORTEST_PAUSE = _windows(0.1)  # that a piece that has become too long can be cut in
_BEFORE, _AFTER = _windows(0.3), _windows(0.3)  # of silence that belong to the speech
_OVERLAP = _windows(2)  # of pieces that no pause parts


@dataclass(frozen=True)
class Piece:
    """A stretch of audio in which somebody speaks, up to 20 s.

    Attributes:
        start: samples from the start of the audio.
        waveform: ``(samples,)``.
        overlap: samples at its beginning that end the piece before, too: there was no pause.
    """

    start: int
    waveform: Array
    overlap: int


class PieceCutter:
    """Cuts one stream where its speaker pauses; silence between pieces is left out.

    A piece ends at a long pause, or, when it has become long, at any; when it has become too long,
    in the longest pause of its later part. Without any it is cut all the same, and the next one
    begins a little before its end, so that each word is whole in one of them.

    Args:
        rate: Hz, of the stream.
        detector: of voice, new.
    """

    def __init__(self, rate: int, detector: Detector) -> None:
        self._activity = VoiceActivity(rate, detector)
        self._audio = WindowedAudio(rate)
        self._speech: list[bool] = []  # of each window that is not done with
        self._overlap = 0  # windows
        self._silent = 0  # windows since somebody spoke

    def feed(self, block: Array) -> Iterator[Piece]:
        """Yield the pieces that end in the next samples, ``(samples,)``."""
        self._audio.feed(block)
        for probability in self._activity.feed(block):
            yield from self._look(probability)

    def finish(self) -> Iterator[Piece]:
        """Yield the piece that the end of the audio ends, if there is one."""
        if any(self._speech[self._overlap :]):
            yield Piece(self._audio.start, self._audio.waveform, self._overlap_samples())

    def _look(self, probability: float) -> Iterator[Piece]:
        speaks = probability >= (GOES_ON if self._speech and self._speech[-1] else BEGINS)
        self._speech.append(speaks)
        self._silent = 0 if speaks else self._silent + 1
        length = len(self._speech)
        if self._silent >= length:
            self._forget(length - _BEFORE)
        elif self._silent >= (_PAUSE if length - self._silent >= _LONG else _LONG_PAUSE):
            yield self._piece(length - self._silent + _AFTER)
            self._forget(len(self._speech) - _BEFORE)
        elif length == _LONGEST:
            yield self._cut()

    def _cut(self) -> Piece:
        pause = longest_pause(self._speech, _LONG)
        if pause is not None:
            return self._piece((pause.start + pause.stop) // 2)
        return self._piece(_LONGEST, _OVERLAP)

    def _piece(self, windows: int, overlap: int = 0) -> Piece:
        """Return the first ``windows`` and forget them, up to the last ``overlap``."""
        waveform = self._audio.head(windows).copy()
        piece = Piece(self._audio.start, waveform, self._overlap_samples())
        self._forget(windows - overlap)
        self._overlap = overlap
        return piece

    def _forget(self, windows: int) -> None:
        if windows > 0:
            self._audio.forget(windows)
            del self._speech[:windows]
            self._overlap = max(0, self._overlap - windows)

    def _overlap_samples(self) -> int:
        return self._audio.sample(self._overlap) - self._audio.start


def longest_pause(speech: list[bool], start: int) -> range | None:
    """Return the longest run of silence at or after ``start``, the last of equal ones.

    None if there is none of `_SHORTEST_PAUSE`.
    """
    best: range | None = None
    place = start
    for speaks, run in groupby(speech[start:]):
        end = place + len(list(run))
        if not speaks and end - place >= max(_SHORTEST_PAUSE, len(best or ())):
            best = range(place, end)
        place = end
    return best
