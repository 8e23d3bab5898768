"""What a transcription returns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Word:
    """One recognised word.

    Attributes:
        text: the word.
        start: seconds from the start of the audio.
        end: seconds from the start of the audio, greater than ``start``.
        confidence: 0 to 1. Of the beam search, how probable it is that the word is right, as far
            as it was fitted to such a model (`plainspeech.decoding.confidence`); of greedy
            decoding, the mean probability of its characters in the frames that wrote them, which
            ranks words but is no such probability.
    """

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True)
class Reading:
    """One of the texts that a stretch of audio may have.

    Attributes:
        text: single spaces, none at the ends.
        score: nats, by which the search ranks it; only differences within a stretch mean something.
    """

    text: str
    score: float


@dataclass(frozen=True)
class Segment:
    """What was said between two pauses.

    Attributes:
        words: one or more, in order.
        n_best: the readings that were asked for: that of ``words`` first, the others by their
            scores; none where a segment was joined of pieces that overlap.
    """

    words: tuple[Word, ...]
    n_best: tuple[Reading, ...] = ()

    @property
    def text(self) -> str:
        """The words joined by single spaces."""
        return " ".join(word.text for word in self.words)

    @property
    def start(self) -> float:
        """Seconds from the start of the audio to the first word."""
        return self.words[0].start

    @property
    def end(self) -> float:
        """Seconds from the start of the audio to the end of the last word."""
        return self.words[-1].end


@dataclass(frozen=True)
class Transcript:
    """The text of one utterance or file.

    Attributes:
        text: words joined by single spaces; empty where nothing was said.
        words: the words of ``text`` in order.
        duration: seconds of audio.
        breaks: how many words come before each pause that parts two segments, rising; none in a
            short utterance.
        n_best: those of each segment; empty where none were asked for.
    """

    text: str
    words: tuple[Word, ...]
    duration: float
    breaks: tuple[int, ...] = ()
    n_best: tuple[tuple[Reading, ...], ...] = ()

    @classmethod
    def of_segments(cls, segments: Iterable[Segment], duration: float) -> Transcript:
        """Return the transcript of ``duration`` seconds in which ``segments`` were said."""
        words: list[Word] = []
        breaks: list[int] = []
        n_best: list[tuple[Reading, ...]] = []
        for segment in segments:
            breaks += [len(words)] if words else []
            words += segment.words
            n_best.append(segment.n_best)
        text = " ".join(word.text for word in words)
        readings = tuple(n_best) if any(n_best) else ()
        return cls(text, tuple(words), duration, tuple(breaks), readings)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The words, parted at the pauses; none where nothing was said."""
        ends = (0, *self.breaks, len(self.words)) if self.words else ()
        n_best = self.n_best or ((),) * (len(ends) - 1)
        return tuple(
            Segment(self.words[start:end], readings)
            for (start, end), readings in zip(pairwise(ends), n_best, strict=False)
        )
