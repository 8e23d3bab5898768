"""Audio of any length, transcribed piece by piece in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from plainspeech.arrays import Array
from plainspeech.runtime.joining import joined
from plainspeech.runtime.pieces import Piece, PieceCutter
from plainspeech.runtime.voice import Detector, silero
from plainspeech.transcript import Segment, Transcript, Word

Hear = Callable[[Sequence[Array]], list[Transcript]]
"""Transcribes many waveforms at once."""

SHORT = 30.0
"""Seconds; audio up to here is one piece, whatever pauses it has."""

_AT_ONCE = 60.0  # seconds of speech that are transcribed together, several pieces side by side


@dataclass(frozen=True)
class Heard:
    """What was said in a stretch of a recording, from the end of the one before.

    Attributes:
        segments: in order, with times from the start of the recording.
        until: seconds from the start of the recording to the end of the stretch.
        promised: seconds of the recording by its own account; None where it gives none.
    """

    segments: tuple[Segment, ...]
    until: float
    promised: float | None = None


def whole(stretches: Iterable[Heard]) -> Transcript:
    """Return the transcript of a recording that was heard in ``stretches``, one or more."""
    heard = list(stretches)
    segments = chain.from_iterable(stretch.segments for stretch in heard)
    return Transcript(tuple(segments), heard[-1].until)


def listen(
    blocks: Iterable[Array], rate: int, hear: Hear, detector: Callable[[], Detector] = silero
) -> Iterator[Heard]:
    """Yield what is said in a recording as it is heard; the last stretch ends where it does.

    Args:
        blocks: ``(samples,)`` float32 each.
        rate: Hz.
        hear: transcribes pieces of up to `SHORT` seconds.
        detector: makes a detector of voice, which finds the pauses of longer recordings.
    """
    remaining = iter(blocks)
    head = _first(remaining, round(SHORT * rate) + 1)
    samples = sum(map(len, head))
    if samples <= SHORT * rate:
        (transcript,) = hear([np.concatenate(head or [np.empty(0, np.float32)])])
        yield Heard(transcript.segments, samples / rate)
        return
    yield from _Listener(rate, hear, detector()).listen(chain(head, remaining))


def _first(blocks: Iterator[Array], samples: int) -> list[Array]:
    """Return the blocks that hold the first ``samples``."""
    taken: list[Array] = []
    while samples > 0 and (block := next(blocks, None)) is not None:
        taken.append(block)
        samples -= len(block)
    return taken


class _Listener:
    """Transcribes the pieces of one long recording."""

    def __init__(self, rate: int, hear: Hear, detector: Detector) -> None:
        self._rate = rate
        self._hear = hear
        self._cutter = PieceCutter(rate, detector)
        self._last: Segment | None = None  # of the last piece, whose end the next may overlap

    def listen(self, blocks: Iterable[Array]) -> Iterator[Heard]:
        pieces: list[Piece] = []
        samples = 0
        for block in blocks:
            samples += len(block)
            pieces += self._cutter.feed(block)
            if sum(len(piece.waveform) for piece in pieces) >= _AT_ONCE * self._rate:
                yield Heard(tuple(self._segments(pieces)), samples / self._rate)
                pieces = []
        pieces += self._cutter.finish()
        yield Heard((*self._segments(pieces), *self._rest()), samples / self._rate)

    def _segments(self, pieces: Sequence[Piece]) -> Iterator[Segment]:
        """Yield what is certain after ``pieces``: all but the last of them."""
        transcripts = self._hear([piece.waveform for piece in pieces])
        for piece, transcript in zip(pieces, transcripts, strict=True):
            start = piece.start / self._rate
            segments = [segment.shifted(start) for segment in transcript.segments]
            if piece.overlap:
                words = [word for segment in segments for word in segment.words]
                following = self._join(words, start, start + piece.overlap / self._rate)
                segments = [Segment(following)] if following else []
            yield from self._rest()
            for segment in segments:
                yield from self._rest()
                self._last = segment

    def _join(self, words: Sequence[Word], start: float, end: float) -> tuple[Word, ...]:
        """Cut the last segment and ``words`` where they meet; return what is left of these."""
        before = self._last.words if self._last else ()
        kept, following = joined(before, words, start, end)
        self._last = Segment(kept) if kept else None
        return following

    def _rest(self) -> Iterator[Segment]:
        if self._last:
            yield self._last
        self._last = None
