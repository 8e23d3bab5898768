"""Live transcription with a model that needs whole utterances.

While an utterance goes on, all of it is recognised again and again, each time that it has grown by
half a second and by a quarter; so partial results cost at most five times what the final one does
(a geometric series of ratio 0.8).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile

import numpy as np

from plainspeech.arrays import Array
from plainspeech.runtime.events import Event, Final, Partial
from plainspeech.runtime.pauses import PauseCutter, Stretch
from plainspeech.transcript import Transcript

_STEP_SECONDS = 0.5
_GROWTH = 0.25


class RunningUtterance:
    """The utterance that goes on: what has come of it, and what was made of that.

    Args:
        rate: Hz.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._stretches: list[Stretch] = []
        self._samples = 0
        self._recognised = 0  # samples, of the last partial
        self._words: list[str] = []  # likewise

    def add(self, stretch: Stretch) -> None:
        """Take the next samples."""
        self._stretches.append(stretch)
        self._samples += len(stretch.waveform)

    def is_due(self) -> bool:
        """Return whether it has grown so much that a partial is worth it."""
        step = max(_STEP_SECONDS * self._rate, _GROWTH * self._recognised)
        return self._samples >= self._recognised + step

    def waveform(self) -> Array:
        """Return what has come, ``(samples,)``, to be recognised."""
        self._recognised = self._samples
        return np.concatenate([stretch.waveform for stretch in self._stretches])

    def partial(self, transcript: Transcript) -> Partial:
        """Return what ``transcript`` of the waveform tells; stable is what the one before has."""
        words = transcript.text.split()
        agreed = takewhile(lambda pair: pair[0] == pair[1], zip(words, self._words, strict=False))
        stable = " ".join(word for word, _ in agreed)
        self._words = words
        return Partial(transcript.text, stable, self._start())

    def final(self, transcript: Transcript) -> list[Final]:
        """Return what ``transcript`` of all of it tells; nothing if there never was a word."""
        if not transcript.text and not self._words:
            return []
        return [Final.of(transcript, self._start())]

    def _start(self) -> float:
        return self._stretches[0].start / self._rate


class UtteranceTranscriber:
    """A `LiveTranscriber` that recognises utterances, at once where they are fed.

    There is one partial a `feed` at most: who is behind, and feeds more at a time, gets fewer.

    Args:
        hear: transcribes a waveform.
        cutter: finds the utterances, new.
        rate: Hz, of the model.
    """

    def __init__(self, hear: Callable[[Array], Transcript], cutter: PauseCutter, rate: int) -> None:
        self._hear = hear
        self._cutter = cutter
        self._rate = rate
        self._running: RunningUtterance | None = None

    @property
    def heard(self) -> float:
        """Seconds of utterances so far."""
        return self._cutter.found

    def feed(self, waveform: Array) -> list[Event]:
        """Take the next samples and return what they give."""
        events = self._take(self._cutter.feed(waveform))
        running = self._running
        if running is not None and running.is_due():
            events.append(running.partial(self._hear(running.waveform())))
        return events

    def finish(self) -> list[Event]:
        """Return what is left."""
        return self._take(self._cutter.finish())

    def _take(self, stretches: list[Stretch]) -> list[Event]:
        events: list[Event] = []
        for stretch in stretches:
            running = self._running = self._running or RunningUtterance(self._rate)
            running.add(stretch)
            if stretch.ends:
                events += running.final(self._hear(running.waveform()))
                self._running = None
        return events
