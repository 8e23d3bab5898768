"""Recordings of any length, transcribed chunk by chunk in bounded memory, silence left out.

Reading and the search for speech go on while earlier chunks are transcribed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from plainspeech.arrays import Array
from plainspeech.runtime import vad
from plainspeech.runtime.chunking import Chunk, Chunker
from plainspeech.runtime.joining import joined
from plainspeech.runtime.vad import SpeechDetector
from plainspeech.transcript import Segment, Transcript, Word


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
