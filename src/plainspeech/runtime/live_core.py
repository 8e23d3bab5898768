"""Live transcription as a state machine that does no work itself: audio in, jobs and events out.

A `LiveTranscription` finds the utterances, decides what has to be recognised when, and makes events
of the results. It recognises nothing itself; that is up to its driver (sans-IO, see
https://sans-io.readthedocs.io): `plainspeech.runtime.live` computes at once,
`plainspeech.serving.live_driver` in threads and queues.

With a streaming model, each part of an utterance is a job, and nothing is computed twice. Any other
model needs whole utterances: until an utterance ends, all of it is recognised again each time that
it has grown by half a second and by a quarter, so that partial results cost at most five times what
the final one does (a geometric series of ratio 0.8).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import takewhile
from typing import Any

import numpy as np

from plainspeech.arrays import Array
from plainspeech.decoding.results import PartialText
from plainspeech.numbers import in_digits
from plainspeech.runtime.endpointing import Endpointer, UtterancePart
from plainspeech.runtime.streaming_model import UtteranceStream
from plainspeech.transcript import Segment, Transcript, Word
from plainspeech.writers import word_values

_STEP_SECONDS = 0.5
_GROWTH = 0.25


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


def with_digits(event: LiveEvent) -> LiveEvent:
    """Return ``event`` with the numbers of a final result in digits; partial ones stay in words."""
    if not isinstance(event, FinalResult) or not event.words:
        return event
    segment = in_digits(Segment(event.words))
    return replace(event, text=segment.text, words=segment.words)


def json_values(event: LiveEvent) -> dict[str, Any]:
    """Return ``event`` as JSON values; times are rounded to milliseconds."""
    values = asdict(event)
    for time in ("start", "end"):
        if time in values:
            values[time] = round(values[time], 3)
    if isinstance(event, FinalResult):
        return {"type": "final", **values, "words": [word_values(word) for word in event.words]}
    return {"type": "partial", **values}


class LiveTranscription:
    """The transcription of one speaker; utterances end at pauses.

    The final results do not depend on how the audio is cut into blocks; with a streaming model
    nor do the partial ones.

    Args:
        endpointer: finds the utterances, new.
        rate: Hz, of the audio.
        open_stream: begins an utterance of a streaming model; None where the model needs whole
            utterances.
    """

    def __init__(
        self, endpointer: Endpointer, rate: int, open_stream: Callable[[], UtteranceStream] | None
    ) -> None:
        self._endpointer = endpointer
        self._rate = rate
        self._open_stream = open_stream
        self._utterance: _Utterance | None = None

    def feed(self, waveform: Array) -> list[Job]:
        """Take the next samples, ``(samples,)``, and return the jobs for them, in order.

        There is one partial result of a whole utterance a call at most: a driver that is behind,
        and feeds more at a time, gets fewer.
        """
        jobs = self._jobs(self._endpointer.feed(waveform))
        if self._utterance is not None:
            jobs += self._utterance.due()
        return jobs

    def finish(self) -> list[Job]:
        """Return the job for the utterance that the end of the audio ends, if there is one."""
        return self._jobs(self._endpointer.finish())

    def _jobs(self, parts: Sequence[UtterancePart]) -> list[Job]:
        jobs: list[Job] = []
        for part in parts:
            utterance = self._utterance = self._utterance or self._begin(part.start)
            jobs += utterance.add(part)
            if part.is_last:
                self._utterance = None
        return jobs

    def _begin(self, start: int) -> _Utterance:
        stream = None if self._open_stream is None else self._open_stream()
        return _Utterance(start / self._rate, self._rate, stream)


@dataclass(frozen=True)
class Job:
    """Audio to recognise.

    Attributes:
        waveform: ``(samples,)``: of a streaming model those since the last job, of any other the
            whole utterance so far.
        is_final: whether the utterance ends with it.
        stream: receives the waveform; None where the model needs whole utterances.
    """

    waveform: Array
    is_final: bool
    stream: UtteranceStream | None
    _utterance: _Utterance = field(repr=False)

    @property
    def is_optional(self) -> bool:
        """Whether a busy driver may skip it, at the cost of a partial result."""
        return self.stream is None and not self.is_final

    def complete(self, result: PartialText | Transcript) -> list[LiveEvent]:
        """Return the events of ``result``, that of the job."""
        return self._utterance.complete(result, self.is_final)


class _Utterance:
    """One utterance: the audio so far and the last partial result."""

    def __init__(self, start: float, rate: int, stream: UtteranceStream | None) -> None:
        self._rate = rate
        self._stream = stream
        self._waveforms: list[Array] = []  # empty with a streaming model, which needs them once
        self._samples = 0
        self._recognised = 0  # samples, at the last partial result
        self._shown = PartialResult("", "", start)

    def add(self, part: UtterancePart) -> list[Job]:
        """Take the next samples and return the job for them, if there must be one."""
        self._samples += len(part.waveform) - part.padding
        if self._stream is not None:
            return [Job(part.waveform, part.is_last, self._stream, self)]
        self._waveforms.append(part.waveform)
        return [Job(self._whole(), True, None, self)] if part.is_last else []

    def due(self) -> list[Job]:
        """Return the job for a partial result, if the utterance has grown enough for one."""
        step = max(_STEP_SECONDS * self._rate, _GROWTH * self._recognised)
        if self._stream is not None or self._samples < self._recognised + step:
            return []
        self._recognised = self._samples
        return [Job(self._whole(), False, None, self)]

    def complete(self, result: PartialText | Transcript, is_final: bool) -> list[LiveEvent]:
        """Return the events of a job's result, without those that repeat the last one."""
        shown = self._shown
        if is_final:
            assert isinstance(result, Transcript)
            final = result.clipped(self._samples / self._rate)
            return [FinalResult.of(final, shown.start)] if final.text or shown.text else []
        stable = (
            result.stable if isinstance(result, PartialText) else _agreed(shown.text, result.text)
        )
        self._shown = PartialResult(result.text, stable, shown.start)
        return [self._shown] if self._shown != shown else []

    def _whole(self) -> Array:
        return np.concatenate(self._waveforms)


def _agreed(before: str, after: str) -> str:
    """Return the words at the beginning that two texts share."""
    pairs = takewhile(
        lambda pair: pair[0] == pair[1], zip(after.split(), before.split(), strict=False)
    )
    return " ".join(word for word, _ in pairs)
