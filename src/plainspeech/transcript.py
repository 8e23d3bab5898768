"""Transcripts: words in segments, with times and confidences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Word:
    """One recognised word.

    Attributes:
        text: the word.
        start: seconds from the start of the audio.
        end: seconds from the start of the audio, greater than ``start``.
        confidence: 0 to 1. Of the beam search, the probability that the word is right, calibrated
            for a model like this (`plainspeech.decoding.calibration`); of greedy decoding, the mean
            probability of its characters in the frames that wrote them, which ranks words but is
            not calibrated.
    """

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True)
class Alternative:
    """One entry of an n-best list.

    Attributes:
        text: single spaces between words, none at the ends.
        score: nats; comparable within a list only.
    """

    text: str
    score: float


@dataclass(frozen=True)
class Segment:
    """A part of a transcript between two pauses.

    Attributes:
        words: one or more, in order.
        n_best: the alternatives, if requested, the text of ``words`` first and the others by score;
            empty where the segment was joined from overlapping chunks.
        channel: in which it was said, from 1 (the left one), where the channels of a recording
            were transcribed separately; else None.
        speech_probability: 0 to 1, the mean that the voice detector gave from the start of the
            first word to the end of the last; 1 where no detector was used. Ignored in comparisons.
    """

    words: tuple[Word, ...]
    n_best: tuple[Alternative, ...] = ()
    channel: int | None = None
    speech_probability: float = field(default=1.0, compare=False)

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

    @property
    def label(self) -> str:
        """Prefix of the text where channels were transcribed separately, else empty."""
        return "" if self.channel is None else f"[{self.channel}] "

    @property
    def confidence(self) -> float:
        """0 to 1, the expected share of its words that are right: the mean of their confidences."""
        return _mean_confidence(self.words)

    def shifted(self, seconds: float) -> Segment:
        """Return the segment as part of audio that starts ``seconds`` earlier."""
        words = (
            replace(word, start=word.start + seconds, end=word.end + seconds) for word in self.words
        )
        return replace(self, words=tuple(words))


@dataclass(frozen=True)
class Transcript:
    """The text of an utterance or a recording.

    Attributes:
        segments: in order; none where nothing was said.
        duration: seconds of audio.
    """

    segments: tuple[Segment, ...]
    duration: float

    @classmethod
    def of_words(
        cls, words: Iterable[Word], duration: float, n_best: Iterable[Alternative] = ()
    ) -> Transcript:
        """Return the transcript of an utterance: one segment, or none where there is no word.

        Args:
            words: in order.
            duration: seconds of audio.
            n_best: of the segment.
        """
        segment = Segment(tuple(words), tuple(n_best))
        return cls((segment,) if segment.words else (), duration)

    @property
    def words(self) -> tuple[Word, ...]:
        """The words of all segments."""
        return tuple(word for segment in self.segments for word in segment.words)

    @property
    def text(self) -> str:
        """The words joined by single spaces; empty where nothing was said."""
        return " ".join(segment.text for segment in self.segments)

    @property
    def confidence(self) -> float:
        """0 to 1, the expected share of its words that are right; 0 where there are none."""
        return _mean_confidence(self.words)

    def clipped(self, duration: float) -> Transcript:
        """Return the transcript for ``duration`` seconds of audio, no word of which ends later.

        The last frame of a model reaches beyond the end of its audio.
        """
        segments = (
            replace(
                segment,
                words=tuple(replace(word, end=min(word.end, duration)) for word in segment.words),
            )
            for segment in self.segments
        )
        return Transcript(tuple(segments), duration)


def _mean_confidence(words: Sequence[Word]) -> float:
    return sum(word.confidence for word in words) / len(words) if words else 0.0
