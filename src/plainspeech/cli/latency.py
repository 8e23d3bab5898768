"""The latency of live transcription: from speech to text on the screen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plainspeech.runtime.events import FinalResult, LiveEvent


class Latency:
    """Measures the wall-clock time from the end of each word to its first display.

    A word counts as displayed when a result first has it at the place where the final text has it.
    """

    def __init__(self) -> None:
        self._ahead = 0.0  # of the clock relative to the seconds of the audio
        self._seen: dict[tuple[int, str], float] = {}  # in the current utterance
        self._words: list[float] = []
        self._finals: list[float] = []

    def spoken(self, seconds: float, when: float) -> None:
        """Record that the audio was ``seconds`` long at the clock time ``when``."""
        self._ahead = when - seconds

    def shown(self, event: LiveEvent, when: float) -> None:
        """Record that ``event`` was displayed at the clock time ``when``."""
        from plainspeech.runtime.events import FinalResult

        if isinstance(event, FinalResult):
            self._end(event, when)
        else:
            for place, word in enumerate(event.text.split()):
                self._seen.setdefault((place, word), when)

    def summary(self) -> str | None:
        """Return one line for the user; None if there was no word."""
        if not self._words:
            return None
        return (
            f"latency: words appeared {_times(self._words)} after they were spoken, "
            f"final results {_times(self._finals)} after the last word of an utterance"
        )

    def _end(self, final: FinalResult, when: float) -> None:
        for place, word in enumerate(final.words):
            shown = self._seen.get((place, word.text), when)
            self._words.append(shown - self._ahead - word.end)
        if final.words:
            self._finals.append(when - self._ahead - final.words[-1].end)
        self._seen.clear()


def _times(seconds: Sequence[float]) -> str:
    """Return the median and the 95th percentile, by nearest rank."""
    ordered = sorted(seconds)
    median, most = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.95))
    return f"{median:.2f} s (95th percentile {most:.2f} s)"
