"""Runs the jobs of a live session on the PCM that its client sends.

In threads with a streaming model, else in the request queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import anyio
import numpy as np
import soxr

from plainspeech.arrays import Array
from plainspeech.decoding.results import PartialText
from plainspeech.runtime.live import run_job
from plainspeech.runtime.live_core import Job, LiveEvent, LiveTranscription
from plainspeech.serving.batching import Lane
from plainspeech.serving.engine import Engine
from plainspeech.transcript import Transcript

Emit = Callable[[LiveEvent], Awaitable[None]]


class PcmReader:
    """Decodes and resamples 16-bit little-endian mono PCM.

    Args:
        rate: Hz, of the data.
        wanted: Hz, of the waveform.
        least: samples at ``wanted`` Hz that are worth processing; fewer are held back.
    """

    def __init__(self, rate: int, wanted: int, least: int) -> None:
        self._bytes = bytearray()
        self._least = 2 * max(1, least * rate // wanted)
        self._stream = (
            None if rate == wanted else soxr.ResampleStream(rate, wanted, 1, dtype="float32")
        )

    def feed(self, data: bytes) -> bool:
        """Take ``data``; return whether there is enough to `take`."""
        self._bytes += data
        return len(self._bytes) >= self._least

    def take(self, last: bool = False) -> Array:
        """Return the waveform since the last call; half a sample is held back, or lost at the end.

        Args:
            last: whether no more data will follow.
        """
        whole = len(self._bytes) & ~1
        samples = np.frombuffer(bytes(self._bytes[:whole]), "<i2")
        del self._bytes[:whole]
        waveform: Array = np.multiply(samples, 1 / 32768, dtype=np.float32)
        if self._stream is None:
            return waveform
        resampled: Array = self._stream.resample_chunk(waveform, last=last)
        return resampled


class LiveDriver:
    """Drives the `LiveTranscription` of one session.

    The partial result of a model that needs whole utterances is computed while more audio is taken
    in, one at a time; where the server is busy there are fewer.

    Args:
        transcription: of the session.
        engine: of the server.
        lane: the session's place in the request queue.
        emit: receives the events.
    """

    def __init__(
        self, transcription: LiveTranscription, engine: Engine, lane: Lane, emit: Emit
    ) -> None:
        self._transcription = transcription
        self._engine = engine
        self._lane = lane
        self._emit = emit
        self._optional: asyncio.Task[None] | None = None

    async def feed(self, waveform: Array) -> None:
        """Take the next samples, ``(samples,)`` at the model's rate, and emit their events."""
        await self._take(await anyio.to_thread.run_sync(self._transcription.feed, waveform))

    async def finish(self) -> None:
        """Emit the last events; nothing may follow."""
        await self._take(self._transcription.finish())

    def close(self) -> None:
        """Cancel what is running; nothing is emitted from now on."""
        if self._optional is not None and not self._optional.cancel():
            with suppress(asyncio.CancelledError):
                self._optional.exception()  # asyncio logs those that nobody has looked at

    async def _take(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            if not job.is_optional:
                await self._cancel_optional()
                await self._run(job)
            elif self._is_idle():
                self._optional = asyncio.create_task(self._run(job))

    async def _run(self, job: Job) -> None:
        for event in job.complete(await self._recognise(job)):
            await self._emit(event)

    async def _recognise(self, job: Job) -> PartialText | Transcript:
        if job.stream is None:
            return await self._lane.transcribe(job.waveform)
        engine = self._engine
        engine.metrics.audio.inc(len(job.waveform) / engine.live.sample_rate)
        return await anyio.to_thread.run_sync(run_job, job, limiter=engine.streaming_threads)

    def _is_idle(self) -> bool:
        """Return whether no optional job is running; raise what the last one raised."""
        if self._optional is not None and self._optional.done():
            self._optional.result()
            self._optional = None
        return self._optional is None

    async def _cancel_optional(self) -> None:
        if self._optional is None:
            return
        self._optional.cancel()
        # Not by awaiting it: whether it or this session was cancelled could not be told apart.
        await asyncio.wait({self._optional})
        if not self._optional.cancelled():
            self._optional.result()
        self._optional = None
