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
class Segment:
    """What was said between two pauses.

    Attributes:
        words: one or more, in order.
    """

    words: tuple[Word, ...]

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
    """

    text: str
    words: tuple[Word, ...]
    duration: float
    breaks: tuple[int, ...] = ()

    @classmethod
    def of_segments(cls, segments: Iterable[Segment], duration: float) -> Transcript:
        """Return the transcript of ``duration`` seconds in which ``segments`` were said."""
        words: list[Word] = []
        breaks: list[int] = []
        for segment in segments:
            breaks += [len(words)] if words else []
            words += segment.words
        return cls(" ".join(word.text for word in words), tuple(words), duration, tuple(breaks))

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The words, parted at the pauses; none where nothing was said."""
        ends = (0, *self.breaks, len(self.words)) if self.words else ()
        return tuple(Segment(self.words[start:end]) for start, end in pairwise(ends))
