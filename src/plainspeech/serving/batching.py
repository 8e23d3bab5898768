"""Recognises the chunks of many requests in one recogniser.

Chunks wait in a fair queue and are recognised several at a time in one worker thread. The queue
is start-time fair queueing (P. Goyal, H. M. Vin, H. Cheng, SIGCOMM 1996): each request has a lane,
and a chunk starts, in virtual time, when the one before it in its lane has ended, but not before
now. So a short recording waits for no more of a long one than is being computed already, and no
chunk waits for ever.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from plainspeech.arrays import Array
from plainspeech.decoding.hot_words import HotWords
from plainspeech.serving.metrics import Metrics
from plainspeech.transcript import Transcript

LARGEST_BATCH = 16
"""Chunks."""

_PADDED_SECONDS = 80.0  # of a batch: it bounds how long the next chunk waits
_COLLECT_SECONDS = 0.004  # a batch is held for so long for requests whose next chunk is imminent


class BatchRecognizer(Protocol):
    """What a `Batcher` needs of a recogniser."""

    def transcribe_waveforms(
        self, waveforms: Sequence[Array], hot_words: HotWords | None = None
    ) -> list[Transcript]:
        """Transcribe many waveforms."""


@dataclass(order=True)
class _Chunk:
    """A waveform in the queue.

    Attributes:
        start: virtual seconds; the order in which chunks are recognised.
        number: of arrival, where starts are equal.
        arrived: seconds, on the clock of the event loop.
    """

    start: float
    number: int
    arrived: float = field(compare=False)
    waveform: Array = field(compare=False)
    lane: Lane = field(compare=False)
    result: asyncio.Future[Transcript] = field(compare=False)


class Lane:
    """The place of one request in the queue.

    Attributes:
        hot_words: of its chunks.
        imminent: whether its next chunk is about to come.
        end: virtual seconds when its last chunk ends.
        waiting: chunks of it that are waiting or being recognised.
    """

    def __init__(self, batcher: Batcher, hot_words: HotWords | None, imminent: bool) -> None:
        self._batcher = batcher
        self.hot_words = hot_words
        self.imminent = imminent
        self.end = 0.0
        self.waiting = 0

    async def transcribe(self, waveform: Array) -> Transcript:
        """Return the transcript of ``waveform``, after those before it in the queue.

        A chunk whose caller is cancelled leaves the queue.
        """
        return await self._batcher.submit(self, waveform)


class Batcher:
    """The queue and the worker thread; everything but the recogniser runs in the event loop.

    Args:
        recognizer: used by one thread.
        sample_rate: Hz, of waveforms.
        metrics: of the server.
        together: most chunks recognised together.
    """

    def __init__(
        self, recognizer: BatchRecognizer, sample_rate: int, metrics: Metrics, together: int
    ) -> None:
        self._recognizer = recognizer
        self._sample_rate = sample_rate
        self._metrics = metrics
        self._together = together
        self._chunks: list[_Chunk] = []
        self._lanes: set[Lane] = set()
        self._numbers = itertools.count()
        self._now = 0.0
        self._arrived = asyncio.Event()
        self._begun: float | None = None  # of the batch that is being recognised
        self._worker = ThreadPoolExecutor(1, "recognizer")

    @property
    def length(self) -> int:
        """Chunks that are waiting."""
        return len(self._chunks)

    @property
    def busy_seconds(self) -> float:
        """Since the batch that is being recognised began; 0 if there is none."""
        return 0.0 if self._begun is None else asyncio.get_running_loop().time() - self._begun

    @contextmanager
    def lane(self, hot_words: HotWords | None = None, imminent: bool = True) -> Iterator[Lane]:
        """Yield the lane of a request, which brings chunks until the block ends.

        Args:
            hot_words: of its chunks.
            imminent: whether they follow each other at once, so that a batch waits a little for
                them.
        """
        lane = Lane(self, hot_words, imminent)
        self._lanes.add(lane)
        try:
            yield lane
        finally:
            self._lanes.remove(lane)

    async def submit(self, lane: Lane, waveform: Array) -> Transcript:
        """Return the transcript of ``waveform``, a chunk of ``lane``."""
        start = max(self._now, lane.end)
        lane.end = start + len(waveform) / self._sample_rate
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Transcript] = loop.create_future()
        chunk = _Chunk(start, next(self._numbers), loop.time(), waveform, lane, result)
        heapq.heappush(self._chunks, chunk)
        lane.waiting += 1
        self._metrics.queue.set(len(self._chunks))
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
        """Wait a little for more, if the queue is not full and there are requests without a chunk.

        A lone request waits for nothing.
        """
        end = asyncio.get_running_loop().time() + _COLLECT_SECONDS
        while len(self._chunks) < self._together and any(
            lane.imminent and not lane.waiting for lane in self._lanes
        ):
            self._arrived.clear()
            left = end - asyncio.get_running_loop().time()
            try:
                await asyncio.wait_for(self._arrived.wait(), left)
            except asyncio.TimeoutError:
                return

    def _take(self) -> list[_Chunk]:
        """Take the next chunks off the queue: with equal hot words, and not too much padding."""
        batch: list[_Chunk] = []
        longest = 0
        while self._chunks and len(batch) < self._together:
            chunk = heapq.heappop(self._chunks)
            if chunk.result.done():  # cancelled
                continue
            longest = max(longest, len(chunk.waveform))
            padded = longest * (len(batch) + 1) / self._sample_rate
            if batch and (
                padded > _PADDED_SECONDS or chunk.lane.hot_words != batch[0].lane.hot_words
            ):
                heapq.heappush(self._chunks, chunk)
                break
            batch.append(chunk)
        if not self._chunks:
            self._arrived.clear()
        else:
            self._arrived.set()
        self._metrics.queue.set(len(self._chunks))
        return batch

    async def _recognise(self, batch: list[_Chunk]) -> None:
        self._now = max(chunk.start for chunk in batch)
        waveforms = [chunk.waveform for chunk in batch]
        self._metrics.batch.observe(len(batch))
        self._metrics.audio.inc(sum(map(len, waveforms)) / self._sample_rate)
        loop = asyncio.get_running_loop()
        self._begun = loop.time()
        for chunk in batch:
            self._metrics.note_stage("queue", self._begun - chunk.arrived)
        task = loop.run_in_executor(
            self._worker,
            self._recognizer.transcribe_waveforms,
            waveforms,
            batch[0].lane.hot_words,
        )
        try:
            outcome: list[Transcript] | Exception = await task
        except Exception as error:  # for those who wait; the queue continues
            outcome = error
        self._begun = None
        for index, chunk in enumerate(batch):
            if chunk.result.done():  # its caller was cancelled
                continue
            if isinstance(outcome, Exception):
                chunk.result.set_exception(outcome)
            else:
                chunk.result.set_result(outcome[index])
