"""Live transcription with a model that needs whole utterances.

Voice activity cuts the audio at pauses. While an utterance goes on, all of it is recognised again
and again, each time that it has grown by half a second and by a quarter; so partial results cost at
most five times what the final one does (a geometric series of ratio 0.8), and as there is one at a
time, less where the server is busy.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from itertools import takewhile

import anyio
import numpy as np
import numpy.typing as npt

from plainspeech.serving.batching import Lane
from plainspeech.serving.events import Emit, Final, Partial
from plainspeech.serving.pauses import PauseCutter, Utterance
from plainspeech.transcript import Transcript

Array = npt.NDArray[np.float32]

_STEP_SECONDS = 0.5
_GROWTH = 0.25


class UtteranceTranscriber:
    """A `LiveTranscriber` that recognises utterances.

    Args:
        lane: its place in the queue.
        cutter: finds the utterances.
        sample_rate: Hz, of the model.
        emit: takes the events.
    """

    def __init__(self, lane: Lane, cutter: PauseCutter, sample_rate: int, emit: Emit) -> None:
        self._lane = lane
        self._cutter = cutter
        self._sample_rate = sample_rate
        self._emit = emit
        self._partial: asyncio.Task[None] | None = None
        self._heard: list[str] = []
        self._recognised = 0

    async def feed(self, waveform: Array) -> None:
        """Take the next samples, and emit what they give."""
        for utterance in await anyio.to_thread.run_sync(self._cutter.feed, waveform):
            await self._finalise(utterance)
        if (running := self._cutter.running()) is not None and self._is_time(running):
            self._recognised = len(running.waveform)
            self._partial = asyncio.create_task(self._guess(running))

    async def finish(self) -> None:
        """Emit the utterance that the end of the audio cuts off."""
        for utterance in await anyio.to_thread.run_sync(self._cutter.finish):
            await self._finalise(utterance)

    def close(self) -> None:
        """Give up what is under way."""
        if self._partial is not None and not self._partial.cancel():
            with suppress(asyncio.CancelledError):
                self._partial.exception()  # asyncio logs those that nobody has looked at

    def _is_time(self, running: Utterance) -> bool:
        if self._partial is not None:
            if not self._partial.done():
                return False
            self._partial.result()  # raises what it raised
        step = max(_STEP_SECONDS * self._sample_rate, _GROWTH * self._recognised)
        return len(running.waveform) >= self._recognised + step

    async def _guess(self, utterance: Utterance) -> None:
        words = (await self._lane.transcribe(utterance.waveform)).text.split()
        stable = [word for word, _ in takewhile(_same, zip(words, self._heard, strict=False))]
        self._heard = words
        start = utterance.start / self._sample_rate
        await self._emit(Partial(" ".join(words), " ".join(stable), start))

    async def _finalise(self, utterance: Utterance) -> None:
        if self._partial is not None:
            self._partial.cancel()
            with suppress(asyncio.CancelledError):
                await self._partial
        shown, self._heard = bool(self._heard), []
        self._partial, self._recognised = None, 0
        transcript = await self._lane.transcribe(utterance.waveform)
        if transcript.text or shown:
            await self._emit(_final(transcript, utterance.start / self._sample_rate))


def _same(pair: tuple[str, str]) -> bool:
    return pair[0] == pair[1]


def _final(transcript: Transcript, start: float) -> Final:
    words = tuple(
        replace(word, start=start + word.start, end=start + word.end) for word in transcript.words
    )
    return Final(transcript.text, start, start + transcript.duration, words)
