"""What live transcription tells: what is heard so far, and what was said."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from plainspeech.transcript import Transcript, Word
from plainspeech.writers import word_values


@dataclass(frozen=True)
class Partial:
    """What has been heard so far of an utterance that goes on.

    Attributes:
        text: all of it; replaces that of the partial before.
        stable: the whole words at its beginning that are settled. Of a model that streams, no later
            partial and not the final text takes them back; of one that needs whole utterances,
            they are what the partial before had too, which seldom changes.
        start: of the utterance, seconds from the start of the audio.
    """

    text: str
    stable: str
    start: float


@dataclass(frozen=True)
class Final:
    """An utterance that has ended.

    Attributes:
        text: of the utterance; it may be empty if there was a partial.
        start: seconds from the start of the audio.
        end: likewise.
        words: likewise.
    """

    text: str
    start: float
    end: float
    words: tuple[Word, ...]

    @classmethod
    def of(cls, transcript: Transcript, start: float) -> Final:
        """Return what the utterance that begins at ``start`` has for a ``transcript``."""
        segments = (segment.shifted(start) for segment in transcript.segments)
        words = tuple(word for segment in segments for word in segment.words)
        return cls(transcript.text, start, start + transcript.duration, words)


Event = Partial | Final


def message(event: Event) -> dict[str, Any]:
    """Return ``event`` as JSON values; times are rounded to milliseconds."""
    values = asdict(event)
    for time in ("start", "end"):
        if time in values:
            values[time] = round(values[time], 3)
    if isinstance(event, Final):
        values["words"] = [word_values(word) for word in event.words]
    return {"type": type(event).__name__.lower(), **values}
