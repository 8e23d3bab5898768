"""What a transcription returns."""

from __future__ import annotations

from dataclasses import dataclass


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
class Transcript:
    """The text of one utterance or file.

    Attributes:
        text: words joined by single spaces; empty where nothing was said.
        words: the words of ``text`` in order.
        duration: seconds of audio.
    """

    text: str
    words: tuple[Word, ...]
    duration: float
