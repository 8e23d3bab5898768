"""An aligned text: its words and sentences with times, and where it differs from the recording."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plainspeech.transcript import Segment, Transcript, Word
from plainspeech.writers import check_format, render, word_values


@dataclass(frozen=True)
class AlignedWord:
    """A word of the text.

    Attributes:
        text: as it stands there, with its punctuation.
        spelling: as the model's alphabet writes it; empty where it cannot, as for '1865'.
        start: seconds from the start of the recording.
        end: seconds; greater than ``start`` where the word is spoken, else equal.
        confidence: 0 to 1, the geometric mean of the probabilities of its symbols, which ranks
            words but is not calibrated; 0 where it is not spoken or has no spelling.
        spoken: whether it was found in the recording.
    """

    text: str
    spelling: str
    start: float
    end: float
    confidence: float
    spoken: bool

    @property
    def timed(self) -> Word:
        """The word as one of a transcript."""
        return Word(self.text, self.start, self.end, self.confidence)


@dataclass(frozen=True)
class AlignedSentence:
    """A sentence of the text.

    Attributes:
        words: one or more.
    """

    words: tuple[AlignedWord, ...]

    @property
    def text(self) -> str:
        """The words joined by single spaces."""
        return " ".join(word.text for word in self.words)

    @property
    def start(self) -> float:
        """Seconds from the start of the recording to the first word that is spoken."""
        return self._edges[0].start

    @property
    def end(self) -> float:
        """Seconds from the start of the recording to the end of the last word that is spoken."""
        return self._edges[-1].end

    @property
    def _edges(self) -> Sequence[AlignedWord]:
        return [word for word in self.words if word.spoken] or self.words[:1]

    @property
    def confidence(self) -> float:
        """0 to 1, the mean of the confidences of the words that have a spelling."""
        spelled = [word.confidence for word in self.words if word.spelling]
        return sum(spelled) / len(spelled) if spelled else 0.0


@dataclass(frozen=True)
class Disagreement:
    """A stretch where the recording is not what the text says.

    Attributes:
        start: seconds from the start of the recording.
        end: seconds.
        first_word: the number of words of the text before it.
        words: how many words of the text are not spoken there.
        text: these words; empty where only the recording has more.
        heard: what greedy decoding writes there instead; empty where nothing is.
    """

    start: float
    end: float
    first_word: int
    words: int
    text: str
    heard: str

    @property
    def kind(self) -> str:
        """``"not spoken"``, ``"not in the text"``, or ``"different"`` where it is both."""
        if not self.heard:
            return "not spoken"
        return "different" if self.words else "not in the text"


@dataclass(frozen=True)
class Alignment:
    """A text aligned with a recording.

    Attributes:
        sentences: all of the text, in order.
        disagreements: in order.
        duration: seconds of the recording.
        foreign: the letters and digits of the text that the model's alphabet cannot write; words
            with one get the time that their neighbours leave.
    """

    sentences: tuple[AlignedSentence, ...]
    disagreements: tuple[Disagreement, ...]
    duration: float
    foreign: str = ""

    @property
    def words(self) -> tuple[AlignedWord, ...]:
        """The words of all sentences."""
        return tuple(word for sentence in self.sentences for word in sentence.words)

    @property
    def transcript(self) -> Transcript:
        """What is spoken of the text, a segment for each sentence."""
        spoken = (
            tuple(word.timed for word in sentence.words if word.spoken)
            for sentence in self.sentences
        )
        return Transcript(tuple(Segment(words) for words in spoken if words), self.duration)

    def render(self, format: str) -> str:  # noqa: A002  # as users call it
        """Return the content of a file of ``format``.

        JSON has everything, other formats what is spoken, a segment for each sentence.

        Args:
            format: one of `plainspeech.writers.FORMATS`.

        Raises:
            ConfigurationError: there is no such format.
        """
        check_format(format)
        if format != "json":
            return render(self.transcript, format)
        return json.dumps(self._values(), ensure_ascii=False, indent=1) + "\n"

    def _values(self) -> dict[str, Any]:
        return {
            "duration": round(self.duration, 3),
            "sentences": [_sentence_values(sentence) for sentence in self.sentences],
            "disagreements": [_disagreement_values(each) for each in self.disagreements],
            "foreign": self.foreign,
        }


def _sentence_values(sentence: AlignedSentence) -> dict[str, Any]:
    return {
        "text": sentence.text,
        "start": round(sentence.start, 3),
        "end": round(sentence.end, 3),
        "confidence": round(sentence.confidence, 4),
        "words": [{**word_values(word.timed), "spoken": word.spoken} for word in sentence.words],
    }


def _disagreement_values(stretch: Disagreement) -> dict[str, Any]:
    return {
        "kind": stretch.kind,
        "start": round(stretch.start, 3),
        "end": round(stretch.end, 3),
        "first_word": stretch.first_word,
        "words": stretch.words,
        "text": stretch.text,
        "heard": stretch.heard,
    }
