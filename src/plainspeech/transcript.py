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
        confidence: 0 to 1, the mean probability of the word's characters in the frames that
            wrote them.
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
