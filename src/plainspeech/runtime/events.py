"""The results of live transcription."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from plainspeech.transcript import Transcript, Word
from plainspeech.writers import word_values


@dataclass(frozen=True)
class PartialResult:
    """The text so far of an utterance that has not ended.

    Attributes:
        text: of the whole utterance; replaces that of the partial result before.
        stable: the whole words at its beginning that are not expected to change. A streaming model
            never changes them, neither in later partial results nor in the final one; of any other
            model they are those that the partial result before had too, which seldom change.
        start: of the utterance, seconds from the start of the audio.
    """

    text: str
    stable: str
    start: float


@dataclass(frozen=True)
class FinalResult:
    """The text of an utterance that has ended.

    Attributes:
        text: of the utterance; may be empty where there was a partial result.
        start: seconds from the start of the audio.
        end: likewise.
        words: with times likewise.
    """

    text: str
    start: float
    end: float
    words: tuple[Word, ...]

    @classmethod
    def of(cls, transcript: Transcript, start: float) -> FinalResult:
        """Return the result for an utterance that begins at ``start``."""
        segments = (segment.shifted(start) for segment in transcript.segments)
        words = tuple(word for segment in segments for word in segment.words)
        return cls(transcript.text, start, start + transcript.duration, words)


LiveEvent = PartialResult | FinalResult


def json_values(event: LiveEvent) -> dict[str, Any]:
    """Return ``event`` as JSON values; times are rounded to milliseconds."""
    values = asdict(event)
    for time in ("start", "end"):
        if time in values:
            values[time] = round(values[time], 3)
    if isinstance(event, FinalResult):
        return {"type": "final", **values, "words": [word_values(word) for word in event.words]}
    return {"type": "partial", **values}
