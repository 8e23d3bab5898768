"""Recordings of any length, transcribed chunk by chunk in bounded memory, silence left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from plainspeech.arrays import Array
from plainspeech.runtime import vad
from plainspeech.runtime.chunking import Chunk, Chunker
from plainspeech.runtime.joining import joined
from plainspeech.runtime.vad import SpeechDetector
from plainspeech.transcript import Segment, Transcript, Word

TranscribeBatch = Callable[[Sequence[Array]], list[Transcript]]
"""Transcribes many waveforms at once."""

_BATCH_SECONDS = 60.0  # of speech that are transcribed together, several chunks in parallel


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
    transcribe: TranscribeBatch,
    detector: Callable[[], SpeechDetector] | None = None,
) -> Iterator[TranscriptPart]:
    """Yield the transcript of a recording part by part; the last one ends where it does.

    Args:
        blocks: ``(samples,)`` float32 each.
        rate: Hz.
        transcribe: for chunks.
        detector: makes a detector of speech, which finds what is said and the pauses in it; None
            takes Silero's.
    """
    yield from _ChunkedTranscription(rate, transcribe, (detector or vad.silero_detector)()).parts(
        blocks
    )


class _ChunkedTranscription:
    """The transcription of one long recording."""

    def __init__(self, rate: int, transcribe: TranscribeBatch, detector: SpeechDetector) -> None:
        self._rate = rate
        self._transcribe = transcribe
        self._chunker = Chunker(rate, detector)
        self._last: Segment | None = None  # of the last chunk, whose end the next may overlap

    def parts(self, blocks: Iterable[Array]) -> Iterator[TranscriptPart]:
        chunks: list[Chunk] = []
        samples = 0
        for block in blocks:
            samples += len(block)
            chunks += self._chunker.feed(block)
            if sum(len(chunk.waveform) for chunk in chunks) >= _BATCH_SECONDS * self._rate:
                yield TranscriptPart(tuple(self._segments(chunks)), samples / self._rate)
                chunks = []
        chunks += self._chunker.finish()
        segments = (*self._segments(chunks), *self._take_last())
        yield TranscriptPart(segments, samples / self._rate)

    def _segments(self, chunks: Sequence[Chunk]) -> Iterator[Segment]:
        """Yield the segments of ``chunks``, except for the last, which the next may change."""
        transcripts = self._transcribe([chunk.waveform for chunk in chunks])
        for chunk, transcript in zip(chunks, transcripts, strict=True):
            start = chunk.start / self._rate
            segments = [segment.shifted(start) for segment in transcript.segments]
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
