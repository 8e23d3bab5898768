"""Transcription while somebody speaks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from plainspeech.arrays import Array
from plainspeech.runtime.events import Event
from plainspeech.runtime.pauses import PauseCutter
from plainspeech.runtime.recognizer import Recognizer
from plainspeech.runtime.streamed import StreamingTranscriber
from plainspeech.runtime.streaming import StreamingModel
from plainspeech.runtime.utterances import UtteranceTranscriber
from plainspeech.runtime.voice import Detector, silero

if TYPE_CHECKING:
    from plainspeech.decoding.hot_words import HotWords


class LiveTranscriber(Protocol):
    """Makes events of audio that goes on; one a speaker.

    Utterances end at pauses. What is said in the end does not depend on how the audio was cut.
    """

    @property
    def heard(self) -> float:
        """Seconds of utterances so far."""

    def feed(self, waveform: Array) -> list[Event]:
        """Take the next samples, ``(samples,)`` at the model's rate, and return what they give."""

    def finish(self) -> list[Event]:
        """Return what is left; nothing may follow."""


class LiveModel:
    """A model that transcribes while somebody speaks; threads may share one.

    Example:
        >>> live = LiveModel(load_model()).begin()
        >>> for waveform in microphone:
        ...     for event in live.feed(waveform):
        ...         print(event)
        >>> print(live.finish())

    Args:
        recognizer: the model.
        detector: makes a detector of voice activity for one speaker; None takes Silero's.

    Attributes:
        streaming: what hears the audio; None where the model needs whole utterances.
    """

    def __init__(
        self, recognizer: Recognizer, detector: Callable[[], Detector] | None = None
    ) -> None:
        self._recognizer = recognizer
        self._detector = detector or silero
        self.streaming = streaming_model(recognizer)

    @property
    def sample_rate(self) -> int:
        """Hz, of what a `LiveTranscriber` takes."""
        model = self.streaming or self._recognizer
        return model.bundle.features.sample_rate

    def cutter(self) -> PauseCutter:
        """Return what finds the utterances of one speaker."""
        return PauseCutter(self.sample_rate, self._detector())

    def begin(self, hot_words: HotWords | None = None) -> LiveTranscriber:
        """Return what transcribes one speaker.

        Args:
            hot_words: words and phrases, each with the nats that an occurrence is worth; for the
                beam search only.

        Raises:
            PlainspeechError: these are no hot words.
        """
        decode = partial(self._recognizer.decoder.stream, hot_words)
        decode()  # what is wrong with hot words is told now, rather than when somebody speaks
        if self.streaming is not None:
            return StreamingTranscriber(self.streaming, decode, self.cutter())
        hear = partial(self._recognizer.transcribe_waveforms, hot_words=hot_words)
        return UtteranceTranscriber(lambda one: hear([one])[0], self.cutter(), self.sample_rate)

    def warm_up(self) -> None:
        """Do once what takes long the first time, such as compiling the beam search."""
        second = np.zeros(self.sample_rate, np.float32)
        if self.streaming is None:
            self._recognizer.transcribe_waveforms([second])
        else:
            audio, search = self.streaming.stream(), self._recognizer.decoder.stream()
            search.feed(np.concatenate([audio.feed(second), audio.finish()]))
            search.partial()
            search.finish()


def streaming_model(recognizer: Recognizer) -> StreamingModel | None:
    """Return what hears audio while it goes on; None where the model needs whole utterances."""
    if recognizer.bundle.streaming is None and not recognizer.streams:
        return None
    return StreamingModel(recognizer.bundle)
