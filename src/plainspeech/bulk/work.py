"""What engines pass to their workers, and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

ATTEMPTS = 3
"""At an item whose worker dies."""


@dataclass(frozen=True, slots=True)
class Item:
    """One recording.

    Attributes:
        id: unique among all.
        audio: its absolute path, or its URL.
        size: how much work it is in comparison with the others: seconds or bytes; NaN where that
            is not known.
        threads: that transcribe it, see `planned`.
    """

    id: str
    audio: str
    size: float
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a recording.

    Attributes:
        id: of the item.
        audio: of the item.
        row: its row as a line of JSON; None where there is none.
        error: why there is none.
        seconds: of audio.
        processor_seconds: that its worker has used since its outcome before, or since its start.
    """

    id: str
    audio: str
    row: str | None = None
    error: str | None = None
    seconds: float = 0.0
    processor_seconds: float = 0.0


Transcribe = Callable[[Item], Outcome]
"""What a worker does."""
