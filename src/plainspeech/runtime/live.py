"""Transcription while somebody speaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from plainspeech.arrays import Array
from plainspeech.cores import available_cores, in_threads
from plainspeech.decoding.results import PartialText
from plainspeech.errors import ConfigurationError, wrong_type
from plainspeech.runtime import vad
from plainspeech.runtime.bundle import Bundle
from plainspeech.runtime.decoders import Decoder
from plainspeech.runtime.endpointing import Endpointer
from plainspeech.runtime.live_core import FinalResult, Job, LiveEvent, LiveTranscription
from plainspeech.runtime.recognizer import Recognizer
from plainspeech.runtime.streaming_model import StreamingModel, UtteranceStream
from plainspeech.runtime.vad import SpeechDetector
from plainspeech.transcript import Segment, Transcript

if TYPE_CHECKING:
    from plainspeech.decoding.hot_words import HotWords


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
        detector: makes a detector of speech for one speaker; by default Silero's.

    Attributes:
        streaming: the network for streaming; None where the model needs whole utterances.

    Raises:
        ConfigurationError: ``recognizer`` is none.
    """

    def __init__(
        self, recognizer: Recognizer, detector: Callable[[], SpeechDetector] | None = None
    ) -> None:
        if not isinstance(recognizer, Recognizer):
            raise ConfigurationError(wrong_type("recognizer", recognizer, "pass load_model(path)"))
        self._recognizer = recognizer
        self._detector = detector or vad.silero_detector
        self.streaming: StreamingModel | None = None
        if recognizer.bundle.streaming is not None or recognizer.streams:
            self.streaming = StreamingModel(recognizer.bundle)

    @property
    def bundle(self) -> Bundle:
        """The model, of the network for streaming where there is one."""
        return (self.streaming or self._recognizer).bundle

    @property
    def decoder(self) -> Decoder:
        """Turns log-probabilities into text."""
        return self._recognizer.decoder

    @property
    def sample_rate(self) -> int:
        """Hz, of the audio that it transcribes."""
        return self.bundle.features.sample_rate

    def begin(self, hot_words: HotWords | None = None) -> LiveTranscriber:
        """Return a transcriber for one speaker.

        Args:
            hot_words: words and phrases, each with the nats that an occurrence adds; for the beam
                search only.

        Raises:
            DecodingError: the hot words are not valid.
        """
        transcribe = partial(self._recognizer.transcribe_waveforms, hot_words=hot_words)
        return LiveTranscriber(self.transcription(hot_words), lambda one: transcribe([one])[0])

    def transcription(self, hot_words: HotWords | None = None) -> LiveTranscription:
        """Return a transcription without a driver, for callers that run its jobs themselves.

        Raises:
            DecodingError: the hot words are not valid.
        """
        open_search = partial(self._recognizer.decoder.stream, hot_words)
        open_search()  # an invalid hot word is reported now, not when somebody speaks
        endpointer = Endpointer(self.sample_rate, self._detector())
        streaming = self.streaming
        if streaming is None:
            return LiveTranscription(endpointer, self.sample_rate, None)
        return LiveTranscription(
            endpointer,
            self.sample_rate,
            lambda: UtteranceStream(streaming.stream(), open_search()),
        )

    def transcribe_recordings(self, waveforms: Sequence[Array]) -> list[Transcript]:
        """Transcribe recordings as if they were live audio, each by a `LiveTranscriber` of its own.

        Args:
            waveforms: ``(samples,)`` float32 each, at `sample_rate`.

        Returns:
            A transcript of each, with a segment for each final result.
        """
        return in_threads(self._transcribe_live, waveforms, available_cores())

    def _transcribe_live(self, waveform: Array) -> Transcript:
        live = self.begin()
        events = [*live.feed(waveform), *live.finish()]
        finals = (event for event in events if isinstance(event, FinalResult))
        segments = tuple(Segment(final.words) for final in finals if final.words)
        return Transcript(segments, len(waveform) / self.sample_rate)

    def warm_up(self) -> None:
        """Do now what takes long the first time, such as compiling the beam search."""
        second = np.zeros(self.sample_rate, np.float32)
        if self.streaming is None:
            self._recognizer.transcribe_waveforms([second])
        else:
            stream = UtteranceStream(self.streaming.stream(), self._recognizer.decoder.stream())
            stream.feed(second)
            stream.finish(second)


class LiveTranscriber:
    """Drives a `LiveTranscription`: recognises at once, in the caller's thread.

    Args:
        transcription: of one speaker.
        transcribe: recognises a whole utterance; streaming models do not need it.
    """

    def __init__(
        self, transcription: LiveTranscription, transcribe: Callable[[Array], Transcript]
    ) -> None:
        self._transcription = transcription
        self._transcribe = transcribe

    def feed(self, waveform: Array) -> list[LiveEvent]:
        """Take the next samples, ``(samples,)`` at the model's rate, and return their events."""
        return self._run(self._transcription.feed(waveform))

    def finish(self) -> list[LiveEvent]:
        """Return the last events; nothing may follow."""
        return self._run(self._transcription.finish())

    def _run(self, jobs: Sequence[Job]) -> list[LiveEvent]:
        return [event for job in jobs for event in job.complete(self._recognise(job))]

    def _recognise(self, job: Job) -> PartialText | Transcript:
        return self._transcribe(job.waveform) if job.stream is None else run_job(job)


def run_job(job: Job) -> PartialText | Transcript:
    """Return the result of a streaming model's job."""
    assert job.stream is not None
    return job.stream.finish(job.waveform) if job.is_final else job.stream.feed(job.waveform)
