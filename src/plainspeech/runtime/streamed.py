"""Live transcription with a model that streams: nothing is computed twice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from plainspeech.arrays import Array
from plainspeech.runtime.decoders import DecoderStream
from plainspeech.runtime.events import Event, Final, Partial
from plainspeech.runtime.pauses import PauseCutter, Stretch
from plainspeech.runtime.streaming import AudioStream, StreamingModel


class StreamingTranscriber:
    """A `LiveTranscriber` whose utterances are streams of a model, each a new one.

    Where the audio is cut makes no difference to any event.

    Args:
        model: hears.
        decode: begins to write an utterance.
        cutter: finds the utterances, new.
    """

    def __init__(
        self, model: StreamingModel, decode: Callable[[], DecoderStream], cutter: PauseCutter
    ) -> None:
        self._model = model
        self._decode = decode
        self._cutter = cutter
        self._rate = model.bundle.features.sample_rate
        self._running: _Utterance | None = None

    @property
    def heard(self) -> float:
        """Seconds of utterances so far."""
        return self._cutter.found

    def feed(self, waveform: Array) -> list[Event]:
        """Take the next samples and return what they give."""
        return self._take(self._cutter.feed(waveform))

    def finish(self) -> list[Event]:
        """Return what is left."""
        return self._take(self._cutter.finish())

    def _take(self, stretches: list[Stretch]) -> list[Event]:
        events: list[Event] = []
        for stretch in stretches:
            running = self._running = self._running or self._begin(stretch.start)
            events += running.feed(stretch.waveform, stretch.ends)
            if stretch.ends:
                self._running = None
        return events

    def _begin(self, start: int) -> _Utterance:
        return _Utterance(start / self._rate, self._rate, self._model.stream(), self._decode())


class _Utterance:
    """One utterance on its way through the model and the decoder."""

    def __init__(self, start: float, rate: int, audio: AudioStream, search: DecoderStream) -> None:
        self._rate = rate
        self._audio = audio
        self._search = search
        self._samples = 0
        self._shown = Partial("", "", start)

    def feed(self, waveform: Array, ends: bool) -> list[Event]:
        self._samples += len(waveform)
        rows = self._audio.feed(waveform)
        if ends:
            self._search.feed(np.concatenate([rows, self._audio.finish()]))
            return self._final()
        if not len(rows):
            return []
        self._search.feed(rows)
        return self._partial()

    def _partial(self) -> list[Event]:
        """Return what has been heard, if it is news."""
        found = self._search.partial()
        shown, self._shown = self._shown, Partial(found.text, found.stable, self._shown.start)
        return [self._shown] if self._shown != shown else []

    def _final(self) -> list[Event]:
        transcript = self._search.finish().clipped(self._samples / self._rate)
        if not transcript.text and not self._shown.text:
            return []
        return [Final.of(transcript, self._shown.start)]
