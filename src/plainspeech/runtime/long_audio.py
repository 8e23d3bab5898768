"""Recordings of any length: transcribed chunk by chunk in bounded memory, and joined.

Reading and the search for speech continue while earlier chunks are transcribed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Protocol

import numpy as np

from plainspeech.arrays import Array
from plainspeech.runtime import vad
from plainspeech.runtime.chunking import Chunk, Chunker
from plainspeech.runtime.vad import SpeechDetector
from plainspeech.transcript import Segment, Transcript, Word


class PendingTranscript(Protocol):
    """A transcript that is being computed; `concurrent.futures.Future` implements it."""

    def result(self) -> Transcript:
        """Wait for it and return it."""

    def cancel(self) -> object:
        """Cancel it: nobody waits for it any more."""


BeginTranscript = Callable[[Array], PendingTranscript]
"""Begins to transcribe a waveform, ``(samples,)``, and does not wait for it."""

_TOLERANCE = 0.25  # seconds between the times at which two chunks have the same word


@dataclass(frozen=True)
class TranscriptPart:
    """The transcript of the next part of a recording.

    Attributes:
        segments: in order, with times from the start of the recording.
        end: seconds from the start of the recording up to which it is transcribed.
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


def transcribe_sections(
    sections: Iterable[Iterable[Array]],
    rate: int,
    begin: BeginTranscript,
    detector: Callable[[], SpeechDetector] | None = None,
    ahead: int = 0,
) -> Generator[TranscriptPart, None, None]:
    """Yield the transcript of a recording part by part; the last one ends where it does.

    Sections that were joined to one file may differ in speaker, place and level: no chunk reaches
    from one into the next, for features are normalised over a chunk. Closing the generator cancels
    the chunks that are being transcribed.

    Args:
        sections: in order, each as blocks: ``(samples,)`` float32, or ``(samples, channels)`` of
            channels that are transcribed separately, each with its own detector; segments have the
            number of their channel.
        rate: Hz.
        begin: for chunks.
        detector: makes a detector of speech, by which chunks are cut at pauses; by default
            Silero's.
        ahead: chunks that may be being transcribed while the recording is read further.
    """
    recording = _ChunkedTranscription(rate, begin, detector or vad.silero_detector, ahead)
    try:
        yield from recording.parts(sections)
    finally:
        recording.cancel()


class _ChunkedTranscription:
    """The transcription of one recording, all its channels side by side."""

    def __init__(
        self,
        rate: int,
        begin: BeginTranscript,
        detector: Callable[[], SpeechDetector],
        ahead: int,
    ) -> None:
        self._rate = rate
        self._begin = begin
        self._detector = detector
        self._ahead = ahead
        self._samples = 0  # read so far, of a channel
        self._tracks: list[_Track] = []  # of the current section
        self._pending: deque[tuple[_Track, Chunk, PendingTranscript]] = deque()
        self._segments: list[Segment] = []  # that were not passed on yet

    def parts(self, sections: Iterable[Iterable[Array]]) -> Iterator[TranscriptPart]:
        for section in sections:
            self._tracks = []
            for block in section:
                self._feed(block)
                while len(self._pending) > self._ahead:
                    yield from self._next_part()
            for track in self._tracks:
                self._start(track, track.chunker.finish())
            while self._pending:
                yield from self._next_part()
            for track in self._tracks:
                self._segments += track.take_last()
            yield self._part(math.inf)

    def cancel(self) -> None:
        """Cancel the chunks that are being transcribed."""
        for _, _, transcript in self._pending:
            transcript.cancel()

    def _feed(self, block: Array) -> None:
        channels = [block] if block.ndim == 1 else list(np.ascontiguousarray(block.T))
        if not self._tracks:
            numbers = [None] if block.ndim == 1 else range(1, len(channels) + 1)
            start = self._samples / self._rate
            self._tracks = [
                _Track(Chunker(self._rate, self._detector()), self._rate, start, number)
                for number in numbers
            ]
        self._samples += len(block)
        for track, samples in zip(self._tracks, channels, strict=True):
            self._start(track, track.chunker.feed(samples))

    def _start(self, track: _Track, chunks: Iterable[Chunk]) -> None:
        self._pending.extend((track, chunk, self._begin(chunk.waveform)) for chunk in chunks)

    def _next_part(self) -> Iterator[TranscriptPart]:
        """Wait for the first chunk that is pending; yield the segments that became final."""
        track, chunk, transcript = self._pending.popleft()
        self._segments += track.segments(chunk, transcript.result())
        if (part := self._part(self._final_until())).segments:
            yield part

    def _final_until(self) -> float:
        """Return the time, in seconds, before which no channel can have further segments."""
        if len(self._tracks) == 1:
            return math.inf
        begun = [track.start_of(chunk) for track, chunk, _ in self._pending]
        return min(begun + [track.final_until for track in self._tracks])

    def _part(self, until: float) -> TranscriptPart:
        """Return the segments that begin before ``until``, in order; keep the others."""
        if len(self._tracks) > 1:
            self._segments.sort(key=lambda segment: (segment.start, segment.channel))
        passed = tuple(segment for segment in self._segments if segment.start < until)
        self._segments = [segment for segment in self._segments if segment.start >= until]
        waiting = (track.start_of(chunk) for track, chunk, _ in self._pending)
        return TranscriptPart(passed, min(waiting, default=self._samples / self._rate))


class _Track:
    """One channel of a section.

    Args:
        chunker: cuts it.
        rate: Hz.
        start: seconds from the start of the recording to that of the section.
        number: of the channel, None where there is only one.
    """

    def __init__(self, chunker: Chunker, rate: int, start: float, number: int | None) -> None:
        self.chunker = chunker
        self._rate = rate
        self._start = start
        self._number = number
        self._last: Segment | None = None  # of the last chunk, whose end the next may overlap

    @property
    def final_until(self) -> float:
        """Seconds from the start of the recording before which no later chunk begins."""
        pending = self._start + self.chunker.pending_start / self._rate
        return min(pending, self._last.start) if self._last else pending

    def start_of(self, chunk: Chunk) -> float:
        """Return the seconds from the start of the recording to that of ``chunk``."""
        return self._start + chunk.start / self._rate

    def segments(self, chunk: Chunk, transcript: Transcript) -> Iterator[Segment]:
        """Yield the segments of the next chunk.

        The last of them follows with the next chunk, which may change it.
        """
        start = self.start_of(chunk)
        segments = [self._placed(segment, chunk, start) for segment in transcript.segments]
        if chunk.overlap and segments:
            words = [word for segment in segments for word in segment.words]
            following = self._join(words, start, start + chunk.overlap / self._rate)
            whole = replace(segments[0], words=following, n_best=())
            segments = [whole] if following else []
        yield from self.take_last()
        for segment in segments:
            yield from self.take_last()
            self._last = segment

    def take_last(self) -> Iterator[Segment]:
        """Yield the segment that nothing changes any more, if there is one."""
        if self._last:
            yield self._last
        self._last = None

    def _placed(self, segment: Segment, chunk: Chunk, start: float) -> Segment:
        """Return ``segment`` of ``chunk`` with what is known of it in the recording."""
        speech = chunk.speech_between(segment.start, segment.end)
        return replace(segment.shifted(start), channel=self._number, speech_probability=speech)

    def _join(self, words: Sequence[Word], start: float, end: float) -> tuple[Word, ...]:
        """Cut the last segment and ``words`` where they meet; return what remains of ``words``."""
        last = self._last
        kept, following = joined(last.words if last else (), words, start, end)
        self._last = replace(last, words=kept, n_best=()) if last and kept else None
        return following


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
