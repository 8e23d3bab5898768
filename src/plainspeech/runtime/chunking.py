"""Cuts recordings of any length into chunks of a length that suits a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from plainspeech.arrays import Array
from plainspeech.runtime.vad import VAD_RATE, VAD_WINDOW, SpeechDetector, SpeechSegmenter


def _windows(seconds: float) -> int:
    return round(seconds * VAD_RATE / VAD_WINDOW)


def _window_at(seconds: float) -> int:
    return int(seconds * VAD_RATE / VAD_WINDOW)


_LONGEST = _windows(30)
_LONG = _windows(20)  # a longer chunk ends at any pause, a shorter one at a long pause only
_PAUSE, _LONG_PAUSE = _windows(0.6), _windows(2)
_SHORTEST_PAUSE = _windows(0.1)  # where a chunk of the greatest length can be cut
_BEFORE, _AFTER = _windows(0.4), _windows(0.4)  # silence that is kept around speech
_OVERLAP = _windows(2)  # of chunks that no pause separates


@dataclass(frozen=True)
class Chunk:
    """Up to 30 s of audio that contain speech.

    Attributes:
        start: samples from the start of the audio.
        waveform: ``(samples,)``.
        overlap: samples at its beginning that also end the chunk before; 0 where a pause
            separates the two.
        speech: the probability of speech in each window of `VAD_WINDOW` samples at `VAD_RATE`.
    """

    start: int
    waveform: Array
    overlap: int
    speech: tuple[float, ...]

    def speech_between(self, start: float, end: float) -> float:
        """Return the mean probability of speech between two times, seconds of the chunk."""
        first = min(_window_at(start), len(self.speech) - 1)
        probabilities = self.speech[first : max(first, _window_at(end)) + 1]
        return sum(probabilities) / len(probabilities)


class Chunker(SpeechSegmenter[Chunk]):
    """Cuts one stream at pauses into chunks, and leaves out the silence between them.

    A chunk ends at a long pause, once it is long at any pause, and at the greatest length at the
    longest pause of its later part. If there is none it is cut there all the same, and the next
    chunk overlaps it a little, so that each word is whole in one of them.

    Args:
        rate: Hz, of the stream.
        detector: of speech, new.
    """

    def __init__(self, rate: int, detector: SpeechDetector) -> None:
        super().__init__(rate, self._noted(detector))
        self._speech: list[bool] = []  # of each pending window
        # Of each pending window, and of later ones that the detector has processed already.
        self._window_probabilities: list[float] = []
        self._overlap = 0  # pending windows that are in the chunk before, too

    @property
    def pending_start(self) -> int:
        """Where the audio starts that is in no chunk yet, in samples from the start."""
        return self._start

    def finish(self) -> list[Chunk]:
        """Return the chunk that the end of the stream ends, if there is one."""
        if not any(self._speech[self._overlap :]):
            return []
        length = len(self._speech)
        kept = length - self._silent + _AFTER
        if kept < length:  # silence at the end is left out as it is between chunks
            return [self._made(self._head(kept), kept)]
        return [self._made(self._waveform, length)]

    def _noted(self, detector: SpeechDetector) -> SpeechDetector:
        def detect(windows: Array) -> Array:
            probabilities = detector(windows)
            self._window_probabilities += probabilities.tolist()
            return probabilities

        return detect

    def _window(self, speech: bool) -> Iterator[Chunk]:
        self._speech.append(speech)
        length = len(self._speech)
        if self._silent >= length:
            self._discard(length - _BEFORE)
        elif self._silent >= (_PAUSE if length - self._silent >= _LONG else _LONG_PAUSE):
            yield self._chunk(length - self._silent + _AFTER)
            self._discard(len(self._speech) - _BEFORE)
        elif length == _LONGEST:
            yield self._cut()

    def _cut(self) -> Chunk:
        pause = longest_pause(self._speech, _LONG)
        if pause is not None:
            return self._chunk((pause.start + pause.stop) // 2)
        return self._chunk(_LONGEST, _OVERLAP)

    def _chunk(self, windows: int, overlap: int = 0) -> Chunk:
        """Return the first ``windows`` and discard them, except for the last ``overlap``."""
        # A copy: chunks wait for others, and a view would keep more audio than its own.
        chunk = self._made(self._head(windows).copy(), windows)
        self._discard(windows - overlap)
        self._overlap = overlap
        return chunk

    def _discard(self, windows: int) -> None:
        super()._discard(windows)
        if windows > 0:
            del self._speech[:windows], self._window_probabilities[:windows]
            self._overlap = max(0, self._overlap - windows)

    def _made(self, waveform: Array, windows: int) -> Chunk:
        """Return the chunk of the first ``windows``, whose samples are ``waveform``."""
        overlap = self._sample(self._overlap) - self._start
        return Chunk(self._start, waveform, overlap, tuple(self._window_probabilities[:windows]))


def longest_pause(speech: list[bool], start: int) -> range | None:
    """Return the longest run of silence at or after ``start``, the last of equal ones.

    None if there is none of `_SHORTEST_PAUSE`.
    """
    best: range | None = None
    place = start
    for is_speech, run in groupby(speech[start:]):
        end = place + len(list(run))
        if not is_speech and end - place >= max(_SHORTEST_PAUSE, len(best or ())):
            best = range(place, end)
        place = end
    return best
