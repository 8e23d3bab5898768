"""What decoders return beside transcripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plainspeech.alphabet import Alphabet
from plainspeech.decoding.calibration import Calibration, Evidence
from plainspeech.transcript import Transcript, Word


@dataclass(frozen=True)
class Character:
    """One character, or phone, and its place in the audio.

    Attributes:
        text: the character, or the name of the phone.
        start: seconds from the start of the audio to the first frame that wrote it.
        end: seconds to the end of the last.
    """

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Hypothesis:
    """One entry of an n-best list: a candidate text of an utterance.

    Attributes:
        transcript: its text, with words, times and confidences, which are of each word by itself.
        characters: of the text, spaces included, in order.
        score: what hypotheses are ranked by, nats: the sum of the three below.
        acoustic_score: logarithm of the sum of the probabilities of the text's alignments, as far
            as they stayed in the beam; of a text that was merged with another, as far as could be
            told when it was.
        lm_score: what language model, ``beta`` and ``unknown_word_penalty`` have added.
        hot_word_score: what hot words have added.
    """

    transcript: Transcript
    characters: tuple[Character, ...]
    score: float
    acoustic_score: float
    lm_score: float
    hot_word_score: float


@dataclass(frozen=True)
class RescoredText:
    """A text that is scored anew when the search has ended.

    Attributes:
        text: of the utterance.
        score: nats, by which the search ranks it.
        gain: nats that a recurrent language model adds to it; in proportion to that model's weight.
    """

    text: str
    score: float
    gain: float


def best_text(rescored: Sequence[RescoredText], times: float) -> str:
    """Return the best text with ``times`` the weight of the recurrent model."""
    return max(rescored, key=lambda each: each.score + times * each.gain).text


@dataclass(frozen=True)
class PartialText:
    """The text of an utterance that is not finished.

    Attributes:
        text: the best hypothesis so far; its last word may be incomplete.
        stable: the whole words at its beginning that will not change.
    """

    text: str
    stable: str


@dataclass(frozen=True)
class Candidate:
    """A hypothesis of a search that is not finished.

    Attributes:
        text: so far; its last word may be incomplete.
        score: nats, by which the search ranks it, the language model's look-ahead included.
    """

    text: str
    score: float


@dataclass(frozen=True)
class AlignedHypothesis:
    """The most probable alignment of a text.

    Attributes:
        symbols: of the text: its characters, or the names of its phones; a space between words.
        written: the words.
        starts: the first frame of each character.
        ends: the frame after its last.
        words: ``(words, 2)``, where among the symbols each begins and ends.
        evidence: what the search knows of each word.
        frame_seconds: from one frame to the next.
    """

    symbols: Sequence[str]
    written: Sequence[str]
    starts: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int32]
    words: npt.NDArray[np.int32]
    evidence: Evidence
    frame_seconds: float

    def transcript(self, frames: int, calibration: Calibration) -> Transcript:
        """Return the transcript of an utterance of ``frames`` frames.

        Args:
            frames: of the utterance.
            calibration: turns `evidence` into confidences.
        """
        confidences = calibration.confidences(self.evidence).tolist()
        starts = (self.starts[self.words[:, 0]] * self.frame_seconds).tolist()
        ends = (self.ends[self.words[:, 1] - 1] * self.frame_seconds).tolist()
        words = map(Word, self.written, starts, ends, confidences)
        return Transcript.of_words(words, frames * self.frame_seconds)

    def characters(self) -> tuple[Character, ...]:
        """Return the characters with their times."""
        return tuple(
            Character(text, start * self.frame_seconds, end * self.frame_seconds)
            for text, start, end in zip(
                self.symbols, self.starts.tolist(), self.ends.tolist(), strict=True
            )
        )


def text_of(symbols: npt.NDArray[np.int32], alphabet: Alphabet) -> str:
    """Return the text of ``symbols``, without spaces at the end."""
    return "".join(map(alphabet.symbols.__getitem__, symbols.tolist())).rstrip(" ")
