"""How long after it was spoken text is shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plainspeech.runtime.events import Event, Final


class Latency:
    """Measures by the clock when words are shown, and when they were spoken.

    A word is taken as shown when it first stood at its place in the utterance, as it is in the
    final text; as spoken, at its end there.
    """

    def __init__(self) -> None:
        self._ahead = 0.0  # of the clock to the seconds of the audio
        self._seen: dict[tuple[int, str], float] = {}  # of the utterance that goes on
        self._words: list[float] = []
        self._finals: list[float] = []

    def spoken(self, seconds: float, when: float) -> None:
        """Note that the audio had come to so many ``seconds`` ``when`` the clock said so."""
        self._ahead = when - seconds

    def shown(self, event: Event, when: float) -> None:
        """Note that ``event`` has been shown by then."""
        from plainspeech.runtime.events import Final

        if isinstance(event, Final):
            self._end(event, when)
        else:
            for place, word in enumerate(event.text.split()):
                self._seen.setdefault((place, word), when)

    def summary(self) -> str | None:
        """Return one line for people; None if nothing was said."""
        if not self._words:
            return None
        return (
            f"latency: a word was shown {_times(self._words)} after it was spoken, "
            f"an utterance was final {_times(self._finals)} after its last word"
        )

    def _end(self, final: Final, when: float) -> None:
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
    return f"{median:.2f} s (95 %: {most:.2f} s)"
