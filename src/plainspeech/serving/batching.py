"""Pieces of many requests through one recogniser.

Pieces wait in a fair queue and are recognised several at a time in one worker thread. The queue
is start-time fair queueing (P. Goyal, H. M. Vin, H. Cheng, SIGCOMM 1996): each request has a lane,
and a piece starts, in virtual time, when the one before it in its lane has ended, but not before
now. So a long recording cannot keep a short one waiting for more than what is being computed, and
nothing waits for ever.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from plainspeech.arrays import Array
from plainspeech.serving.metrics import Metrics
from plainspeech.transcript import Transcript

HotWords = Mapping[str, float]

LARGEST_BATCH = 16
"""Pieces."""

_PADDED_SECONDS = 80.0  # of a batch: it bounds what a piece that comes next waits for
_COLLECT_SECONDS = 0.004  # that a batch is held for requests that are about to bring a piece


class Recognises(Protocol):
    """What a `Batcher` needs of a recogniser."""

    def transcribe_waveforms(
        self, waveforms: Sequence[Array], hot_words: HotWords | None = None
    ) -> list[Transcript]:
        """Transcribe many waveforms."""


@dataclass(order=True)
class _Piece:
    """A waveform that waits.

    Attributes:
        start: virtual seconds; the order in which pieces are served.
        number: of arrival, where starts are equal.
    """

    start: float
    number: int
    waveform: Array = field(compare=False)
    lane: Lane = field(compare=False)
    result: asyncio.Future[Transcript] = field(compare=False)


class Lane:
    """The place of one request in the queue.

    Attributes:
        hot_words: of its pieces.
        imminent: whether its next piece is about to come.
        end: virtual seconds when its last piece ends.
        waiting: pieces of it in the queue or under way.
    """

    def __init__(self, batcher: Batcher, hot_words: HotWords | None, imminent: bool) -> None:
        self._batcher = batcher
        self.hot_words = hot_words
        self.imminent = imminent
        self.end = 0.0
        self.waiting = 0

    async def transcribe(self, waveform: Array) -> Transcript:
        """Return the transcript of ``waveform`` when its turn has come.

        A piece whose caller is cancelled leaves the queue.
        """
        return await self._batcher.submit(self, waveform)


class Batcher:
    """The queue and the worker thread; all but the recogniser runs in the event loop.

    Args:
        recognizer: used by one thread.
        sample_rate: Hz, of waveforms.
        metrics: of the server.
        together: most pieces recognised together.
    """

    def __init__(
        self, recognizer: Recognises, sample_rate: int, metrics: Metrics, together: int
    ) -> None:
        self._recognizer = recognizer
        self._sample_rate = sample_rate
        self._metrics = metrics
        self._together = together
        self._pieces: list[_Piece] = []
        self._lanes: set[Lane] = set()
        self._numbers = itertools.count()
        self._now = 0.0
        self._arrived = asyncio.Event()
        self._worker = ThreadPoolExecutor(1, "recognizer")

    @property
    def length(self) -> int:
        """Pieces that wait."""
        return len(self._pieces)

    @contextmanager
    def lane(self, hot_words: HotWords | None = None, imminent: bool = True) -> Iterator[Lane]:
        """Yield a place in the queue for a request that will bring pieces until the block ends.

        Args:
            hot_words: of its pieces.
            imminent: whether they come one after the other, so that others wait a little for them.
        """
        lane = Lane(self, hot_words, imminent)
        self._lanes.add(lane)
        try:
            yield lane
        finally:
            self._lanes.remove(lane)

    async def submit(self, lane: Lane, waveform: Array) -> Transcript:
        """Return the transcript of ``waveform``, a piece of ``lane``."""
        start = max(self._now, lane.end)
        lane.end = start + len(waveform) / self._sample_rate
        result: asyncio.Future[Transcript] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._pieces, _Piece(start, next(self._numbers), waveform, lane, result))
        lane.waiting += 1
        self._metrics.queue.set(len(self._pieces))
        self._arrived.set()
        try:
            return await result
        finally:
            lane.waiting -= 1

    async def run(self) -> None:
        """Serve the queue until cancelled."""
        try:
            while True:
                await self._arrived.wait()
                await self._collect()
                batch = self._take()
                if batch:
                    await self._recognise(batch)
        finally:
            self._worker.shutdown(wait=False)

    async def _collect(self) -> None:
        """Wait a little for more, if the queue is not full and there are requests without a piece.

        A lone request waits for nothing.
        """
        end = asyncio.get_running_loop().time() + _COLLECT_SECONDS
        while len(self._pieces) < self._together and any(
            lane.imminent and not lane.waiting for lane in self._lanes
        ):
            self._arrived.clear()
            left = end - asyncio.get_running_loop().time()
            try:
                await asyncio.wait_for(self._arrived.wait(), left)
            except asyncio.TimeoutError:
                return

    def _take(self) -> list[_Piece]:
        """Take the next pieces off the queue: with equal hot words, and not too much padding."""
        batch: list[_Piece] = []
        longest = 0
        while self._pieces and len(batch) < self._together:
            piece = heapq.heappop(self._pieces)
            if piece.result.done():  # cancelled
                continue
            longest = max(longest, len(piece.waveform))
            padded = longest * (len(batch) + 1) / self._sample_rate
            if batch and (
                padded > _PADDED_SECONDS or piece.lane.hot_words != batch[0].lane.hot_words
            ):
                heapq.heappush(self._pieces, piece)
                break
            batch.append(piece)
        if not self._pieces:
            self._arrived.clear()
        else:
            self._arrived.set()
        self._metrics.queue.set(len(self._pieces))
        return batch

    async def _recognise(self, batch: list[_Piece]) -> None:
        self._now = max(piece.start for piece in batch)
        waveforms = [piece.waveform for piece in batch]
        self._metrics.batch.observe(len(batch))
        self._metrics.audio.inc(sum(map(len, waveforms)) / self._sample_rate)
        task = asyncio.get_running_loop().run_in_executor(
            self._worker,
            self._recognizer.transcribe_waveforms,
            waveforms,
            batch[0].lane.hot_words,
        )
        try:
            outcome: list[Transcript] | Exception = await task
        except Exception as error:  # for those who wait; the queue goes on
            outcome = error
        for index, piece in enumerate(batch):
            if piece.result.done():  # its caller has left
                continue
            if isinstance(outcome, Exception):
                piece.result.set_exception(outcome)
            else:
                piece.result.set_result(outcome[index])
