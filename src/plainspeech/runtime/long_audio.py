"""Recordings of any length: cut at pauses, transcribed in bounded memory, and joined.

Reading and the search for speech go on while earlier chunks are transcribed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby
from typing import Protocol

from plainspeech.arrays import Array
from plainspeech.runtime import vad
from plainspeech.runtime.vad import VAD_RATE, VAD_WINDOW, SpeechDetector, SpeechSegmenter
from plainspeech.transcript import Segment, Transcript, Word


def _windows(seconds: float) -> int:
    return round(seconds * VAD_RATE / VAD_WINDOW)


_LONGEST = _windows(30)
_LONG = _windows(20)  # a longer chunk ends at any pause, a shorter one at a long pause only
_PAUSE, _LONG_PAUSE = _windows(0.6), _windows(2)
_SHORTEST_PAUSE = _windows(0.1)  # at which a chunk of the greatest length can be cut
_BEFORE, _AFTER = _windows(0.4), _windows(0.4)  # silence that is kept around speech
_OVERLAP = _windows(2)  # of chunks that no pause separates


@dataclass(frozen=True)
class Chunk:
    """Up to 20 s of audio that contain speech.

    Attributes:
        start: samples from the start of the audio.
        waveform: ``(samples,)``.
        overlap: samples at its beginning that also end the chunk before; 0 where a pause
            separates the two.
    """

    start: int
    waveform: Array
    overlap: int


class Chunker(SpeechSegmenter[Chunk]):
    """Cuts one stream at pauses into chunks, and leaves out the silence between them.

    A chunk ends at a long pause, once it is long at any pause, and at the greatest length at the
    longest pause of its later part. If there is none it is cut there all the same, and the next
    chunk begins a little earlier, so that each word is whole in one of them.

    Args:
        rate: Hz, of the stream.
        detector: of speech, new.
    """

    def __init__(self, rate: int, detector: SpeechDetector) -> None:
        super().__init__(rate, detector)
        self._speech: list[bool] = []  # of each pending window
        self._overlap = 0  # pending windows that are in the chunk before, too

    def finish(self) -> list[Chunk]:
        """Return the chunk that the end of the stream ends, if there is one."""
        if not any(self._speech[self._overlap :]):
            return []
        return [Chunk(self._start, self._waveform, self._overlap_samples())]

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
        chunk = Chunk(self._start, self._head(windows).copy(), self._overlap_samples())
        self._discard(windows - overlap)
        self._overlap = overlap
        return chunk

    def _discard(self, windows: int) -> None:
        super()._discard(windows)
        if windows > 0:
            del self._speech[:windows]
            self._overlap = max(0, self._overlap - windows)

    def _overlap_samples(self) -> int:
        return self._sample(self._overlap) - self._start


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


class PendingTranscript(Protocol):
    """A transcript that is being made, as `concurrent.futures.Future` is one."""

    def result(self) -> Transcript:
        """Wait for it and return it."""

    def cancel(self) -> object:
        """Say that nobody waits for it any more."""


BeginTranscript = Callable[[Array], PendingTranscript]
"""Begins to transcribe a waveform, ``(samples,)``, and does not wait for it."""

_PART_SECONDS = 60.0  # of speech; the last part of a recording may have less


@dataclass(frozen=True)
class TranscriptPart:
    """The transcript of the next part of a recording.

    Attributes:
        segments: in order, with times from the start of the recording.
        end: seconds from the start of the recording to the end of the part.
        declared_duration: seconds of the whole recording, by its header; None where that does not
            say.
    """

    segments: tuple[Segment, ...]
    end: float
    declared_duration: float | None = None


def join_parts(parts: Iterable[TranscriptPart]) -> Transcript:
    """Return the transcript of a recording from its ``parts``, one or more."""
    every = list(parts)
    return Transcript(tuple(chain.from_iterable(part.segments for part in every)), every[-1].end)


def transcribe_blocks(
    blocks: Iterable[Array],
    rate: int,
    begin: BeginTranscript,
    detector: Callable[[], SpeechDetector] | None = None,
    ahead: int = 0,
) -> Generator[TranscriptPart, None, None]:
    """Yield the transcript of a recording part by part; the last one ends where it does.

    Closing it gives up what is in the making.

    Args:
        blocks: ``(samples,)`` float32 each.
        rate: Hz.
        begin: for chunks.
        detector: makes a detector of speech, which finds what is said and the pauses in it; None
            takes Silero's.
        ahead: chunks that may be in the making while the recording is read on.
    """
    detect = (detector or vad.silero_detector)()
    recording = _ChunkedTranscription(rate, begin, detect, ahead)
    try:
        yield from recording.parts(blocks)
    finally:
        recording.cancel()


class _ChunkedTranscription:
    """The transcription of one recording."""

    def __init__(
        self, rate: int, begin: BeginTranscript, detector: SpeechDetector, ahead: int
    ) -> None:
        self._rate = rate
        self._begin = begin
        self._ahead = ahead
        self._chunker = Chunker(rate, detector)
        self._pending: deque[tuple[Chunk, PendingTranscript]] = deque()
        self._last: Segment | None = None  # of the last chunk, whose end the next may overlap

    def parts(self, blocks: Iterable[Array]) -> Iterator[TranscriptPart]:
        segments: list[Segment] = []
        samples = speech = 0  # samples read, and those of the chunks that `segments` are of
        for block in blocks:
            samples += len(block)
            self._start(self._chunker.feed(block))
            while len(self._pending) > self._ahead:
                speech += len(self._pending[0][0].waveform)
                segments += self._next_segments()
            if speech >= _PART_SECONDS * self._rate:
                yield TranscriptPart(tuple(segments), samples / self._rate)
                segments, speech = [], 0
        self._start(self._chunker.finish())
        while self._pending:
            segments += self._next_segments()
        segments += self._take_last()
        yield TranscriptPart(tuple(segments), samples / self._rate)

    def cancel(self) -> None:
        """Give up the chunks that are in the making."""
        for _, transcript in self._pending:
            transcript.cancel()

    def _start(self, chunks: Iterable[Chunk]) -> None:
        self._pending.extend((chunk, self._begin(chunk.waveform)) for chunk in chunks)

    def _next_segments(self) -> Iterator[Segment]:
        """Yield the segments of the first chunk that is pending.

        The last of them follows with the next chunk, which may change it.
        """
        chunk, transcript = self._pending.popleft()
        start = chunk.start / self._rate
        segments = [segment.shifted(start) for segment in transcript.result().segments]
        if chunk.overlap:
            words = [word for segment in segments for word in segment.words]
            following = self._join(words, start, start + chunk.overlap / self._rate)
            segments = [Segment(following)] if following else []
        yield from self._take_last()
        for segment in segments:
            yield from self._take_last()
            self._last = segment

    def _join(self, words: Sequence[Word], start: float, end: float) -> tuple[Word, ...]:
        """Cut the last segment and ``words`` where they meet; return what remains of ``words``."""
        before = self._last.words if self._last else ()
        kept, following = joined(before, words, start, end)
        self._last = Segment(kept) if kept else None
        return following

    def _take_last(self) -> Iterator[Segment]:
        if self._last:
            yield self._last
        self._last = None


_TOLERANCE = 0.25  # seconds between the times at which two chunks have the same word


def joined(
    left: Sequence[Word], right: Sequence[Word], start: float, end: float
) -> tuple[tuple[Word, ...], tuple[Word, ...]]:
    """Return the words to keep of each of two chunks, so that no word is there twice.

    They are joined at a word that both have in the overlap, the one nearest to its middle, since
    words at the edges are cut. If there is none, each chunk keeps the words whose centre is on its
    side of the middle.

    Args:
        left: words of the earlier chunk, in order, that do not overlap.
        right: words of the later chunk, likewise.
        start: seconds, of the overlap.
        end: seconds, of the overlap.
    """
    middle = (start + end) / 2
    kept, following = _seam(left, right, middle)
    left, right = left[:kept], right[following:]
    while left and right and left[-1].start >= right[0].start:
        left = left[:-1]
    if left and right and left[-1].end > right[0].start:
        left = [*left[:-1], replace(left[-1], end=right[0].start)]
    return tuple(left), tuple(right)


def _seam(left: Sequence[Word], right: Sequence[Word], middle: float) -> tuple[int, int]:
    """Return how many words of ``left`` to keep, and the first of ``right`` to keep."""
    agreed = [
        (abs(_centre(mine) - middle), kept, following)
        for kept, mine in enumerate(left, start=1)
        for following, theirs in enumerate(right, start=1)
        if mine.text == theirs.text and abs(mine.start - theirs.start) <= _TOLERANCE
    ]
    if agreed:
        return min(agreed)[1:]
    return (
        sum(_centre(word) < middle for word in left),
        sum(_centre(word) < middle for word in right),
    )


def _centre(word: Word) -> float:
    return (word.start + word.end) / 2
