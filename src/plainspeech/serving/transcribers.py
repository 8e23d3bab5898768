"""What makes text of a live session: one way for models that stream, one for those that do not.

A streaming model hears every session for itself, in threads. What needs whole utterances goes
through the queue of the uploads, partial results too: those of `plainspeech.runtime.utterances`,
but that there is one under way at most, so that there are fewer where the server is busy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

import anyio
from anyio import CapacityLimiter

from plainspeech.arrays import Array
from plainspeech.runtime.events import Event
from plainspeech.runtime.live import LiveTranscriber
from plainspeech.runtime.pauses import PauseCutter, Stretch
from plainspeech.runtime.utterances import RunningUtterance
from plainspeech.serving.batching import Lane
from plainspeech.serving.metrics import Metrics

Emit = Callable[[Event], Awaitable[None]]


class SessionTranscriber(Protocol):
    """Makes events of audio that arrives bit by bit; one a session."""

    async def feed(self, waveform: Array) -> None:
        """Take the next samples, ``(samples,)`` at the model's rate, and emit what they give."""

    async def finish(self) -> None:
        """Emit what is left; nothing more comes."""

    def close(self) -> None:
        """Give up what is under way; nothing is emitted from now on."""


class StreamedSession:
    """A `SessionTranscriber` that streams.

    Args:
        live: hears, and computes at once.
        portion: most samples at a time, after which other sessions have their turn.
        threads: where it computes.
        metrics: of the server.
        emit: takes the events.
    """

    def __init__(
        self,
        live: LiveTranscriber,
        portion: int,
        threads: CapacityLimiter,
        metrics: Metrics,
        emit: Emit,
    ) -> None:
        self._live = live
        self._portion = portion
        self._threads = threads
        self._metrics = metrics
        self._emit = emit

    async def feed(self, waveform: Array) -> None:
        """Take the next samples, and emit what they give."""
        for start in range(0, len(waveform), self._portion):
            portion = waveform[start : start + self._portion]
            await self._run(partial(self._live.feed, portion))

    async def finish(self) -> None:
        """Emit the utterance that the end of the audio cuts off."""
        await self._run(self._live.finish)

    def close(self) -> None:
        """Do nothing: between calls, nothing is under way."""

    async def _run(self, step: Callable[[], list[Event]]) -> None:
        before = self._live.heard
        events = await anyio.to_thread.run_sync(step, limiter=self._threads)
        self._metrics.audio.inc(self._live.heard - before)
        for event in events:
            await self._emit(event)


class QueuedSession:
    """A `SessionTranscriber` that recognises utterances.

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
        self._running: RunningUtterance | None = None

    async def feed(self, waveform: Array) -> None:
        """Take the next samples, and emit what they give."""
        await self._take(await anyio.to_thread.run_sync(self._cutter.feed, waveform))
        if self._running is not None and self._is_idle() and self._running.is_due():
            self._partial = asyncio.create_task(self._guess(self._running))

    async def finish(self) -> None:
        """Emit the utterance that the end of the audio cuts off."""
        await self._take(self._cutter.finish())

    def close(self) -> None:
        """Give up what is under way."""
        if self._partial is not None and not self._partial.cancel():
            with suppress(asyncio.CancelledError):
                self._partial.exception()  # asyncio logs those that nobody has looked at

    async def _take(self, stretches: list[Stretch]) -> None:
        for stretch in stretches:
            running = self._running = self._running or RunningUtterance(self._sample_rate)
            running.add(stretch)
            if stretch.ends:
                await self._finalise(running)

    def _is_idle(self) -> bool:
        """Return whether no partial is under way; raise what the last one raised."""
        if self._partial is None:
            return True
        if self._partial.done():
            self._partial.result()
        return self._partial.done()

    async def _guess(self, running: RunningUtterance) -> None:
        await self._emit(running.partial(await self._lane.transcribe(running.waveform())))

    async def _finalise(self, running: RunningUtterance) -> None:
        if self._partial is not None:
            self._partial.cancel()
            with suppress(asyncio.CancelledError):
                await self._partial
        self._partial, self._running = None, None
        for event in running.final(await self._lane.transcribe(running.waveform())):
            await self._emit(event)
