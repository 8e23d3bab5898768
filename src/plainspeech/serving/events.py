"""What a live session tells its client; `message` has the JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from plainspeech.transcript import Word
from plainspeech.writers import word_values


@dataclass(frozen=True)
class Partial:
    """What has been heard so far of an utterance that goes on.

    Attributes:
        text: all of it; replaces that of the partial before.
        stable: the beginning of ``text`` that the partial before had too.
        start: of the utterance, seconds from the start of the session.
    """

    text: str
    stable: str
    start: float


@dataclass(frozen=True)
class Final:
    """An utterance that has ended.

    Attributes:
        text: of the utterance.
        start: seconds from the start of the session.
        end: likewise.
        words: likewise.
    """

    text: str
    start: float
    end: float
    words: tuple[Word, ...]


Event = Partial | Final
Emit = Callable[[Event], Awaitable[None]]


class LiveTranscriber(Protocol):
    """Makes events of audio that arrives bit by bit; one a session.

    A streaming model takes this place by emitting partials as it goes.
    """

    async def feed(self, waveform: npt.NDArray[np.float32]) -> None:
        """Take the next samples, ``(samples,)`` at the model's rate, and emit what they give."""

    async def finish(self) -> None:
        """Emit what is left; nothing more comes."""

    def close(self) -> None:
        """Give up what is under way; nothing is emitted from now on."""


def message(event: Event) -> dict[str, Any]:
    """Return the JSON of ``event``; times are rounded to milliseconds."""
    values = asdict(event)
    for time in ("start", "end"):
        if time in values:
            values[time] = round(values[time], 3)
    if isinstance(event, Final):
        values["words"] = [word_values(word) for word in event.words]
    return {"type": type(event).__name__.lower(), **values}
