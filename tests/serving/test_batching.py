from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
import pytest

from plainspeech.arrays import Array
from plainspeech.decoding.hot_words import HotWords
from plainspeech.serving import batching
from plainspeech.serving.batching import Batcher, Lane
from plainspeech.serving.metrics import Metrics
from plainspeech.transcript import Transcript, Word

RATE = 100
PATIENCE = 60.0  # seconds, since machines that test may be busy


class Recogniser:
    """Says how long a waveform is, and is slow as long as its gate is closed."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()

    def transcribe_waveforms(
        self, waveforms: Sequence[Array], hot_words: HotWords | None = None
    ) -> list[Transcript]:
        self.batches.append([len(waveform) for waveform in waveforms])
        assert self.gate.wait(PATIENCE)
        if any(waveform[0] < 0 for waveform in waveforms):
            raise ValueError("negative")
        lengths = (str(len(waveform)) for waveform in waveforms)
        return [Transcript.of_words([Word(length, 0, 1, 1)], 1.0) for length in lengths]


def piece(samples: int, value: float = 0.0) -> Array:
    return np.full(samples, value, np.float32)


def run(
    scenario: Callable[[Batcher, Recogniser], Awaitable[None]], together: int = 16
) -> Recogniser:
    recogniser = Recogniser()

    async def main() -> None:
        batcher = Batcher(recogniser, RATE, Metrics(), together)
        task = asyncio.create_task(batcher.run())
        try:
            await asyncio.wait_for(scenario(batcher, recogniser), PATIENCE)
        finally:
            recogniser.gate.set()
            task.cancel()

    asyncio.run(main())
    return recogniser


async def busy(batcher: Batcher, recogniser: Recogniser) -> asyncio.Task[str]:
    """Occupy the worker until the gate opens."""
    task = asyncio.create_task(text(batcher, 1))
    while not recogniser.batches:
        await asyncio.sleep(0)
    return task


async def text(batcher: Batcher, samples: int, hot_words: HotWords | None = None) -> str:
    with batcher.lane(hot_words) as lane:
        return (await lane.transcribe(piece(samples))).text


def test_what_comes_while_the_worker_is_busy_is_one_batch() -> None:
    async def scenario(batcher: Batcher, recogniser: Recogniser) -> None:
        first = await busy(batcher, recogniser)
        others = [asyncio.create_task(text(batcher, n)) for n in (10, 20, 30)]
        await asyncio.sleep(0.01)
        recogniser.gate.set()
        assert await asyncio.gather(first, *others) == ["1", "10", "20", "30"]

    assert run(scenario).batches == [[1], [10, 20, 30]]


def test_batching_can_be_switched_off() -> None:
    async def scenario(batcher: Batcher, recogniser: Recogniser) -> None:
        recogniser.gate.set()
        assert await asyncio.gather(*(text(batcher, n) for n in (10, 20, 30))) == ["10", "20", "30"]

    assert run(scenario, together=1).batches == [[10], [20], [30]]


def test_other_hot_words_are_another_batch() -> None:
    async def scenario(batcher: Batcher, recogniser: Recogniser) -> None:
        first = await busy(batcher, recogniser)
        words = [{"a": 3.0}, {"b": 3.0}, {"b": 3.0}]
        others = [asyncio.create_task(text(batcher, 10, w)) for w in words]
        await asyncio.sleep(0.01)
        recogniser.gate.set()
        await asyncio.gather(first, *others)

    assert run(scenario).batches == [[1], [10], [10, 10]]


def test_padding_bounds_a_batch() -> None:
    async def scenario(batcher: Batcher, recogniser: Recogniser) -> None:
        first = await busy(batcher, recogniser)
        others = [asyncio.create_task(text(batcher, 30 * RATE)) for _ in range(3)]
        await asyncio.sleep(0.01)
        recogniser.gate.set()
        await asyncio.gather(first, *others)

    assert run(scenario).batches == [[1], [30 * RATE] * 2, [30 * RATE]]


def test_a_short_request_overtakes_what_a_long_one_has_waiting() -> None:
    order: list[str] = []

    async def bring(lane: Lane, samples: int) -> None:
        order.append((await lane.transcribe(piece(samples))).text)

    async def scenario(batcher: Batcher, recogniser: Recogniser) -> None:
        first = await busy(batcher, recogniser)
        with batcher.lane() as long, batcher.lane() as short:
            tasks = [asyncio.create_task(bring(long, 1000 + i)) for i in range(5)]
            await asyncio.sleep(0.01)
            tasks.append(asyncio.create_task(bring(short, 10)))
            await asyncio.sleep(0.01)
            recogniser.gate.set()
            await asyncio.gather(first, *tasks)

    run(scenario, together=1)
    assert order == ["1000", "10", "1001", "1002", "1003", "1004"]


def test_a_stream_of_short_requests_does_not_starve_a_long_one() -> None:
    async def scenario(batcher: Batcher, recogniser: Recogniser) -> None:
        recogniser.gate.set()
        with batcher.lane() as long:
            tasks = [asyncio.create_task(long.transcribe(piece(100))) for _ in range(4)]
            for _ in range(200):
                await text(batcher, 10)
            assert all(task.done() for task in tasks)

    run(scenario, together=1)


def test_a_cancelled_piece_is_not_recognised() -> None:
    async def scenario(batcher: Batcher, recogniser: Recogniser) -> None:
        first = await busy(batcher, recogniser)
        gone, stays = (asyncio.create_task(text(batcher, n)) for n in (10, 20))
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0.01)
        recogniser.gate.set()
        assert (await first, await stays) == ("1", "20")

    assert run(scenario).batches == [[1], [20]]


def test_a_failure_is_told_and_the_queue_goes_on() -> None:
    async def scenario(batcher: Batcher, recogniser: Recogniser) -> None:
        recogniser.gate.set()
        with batcher.lane() as lane:
            with pytest.raises(ValueError, match="negative"):
                await lane.transcribe(piece(5, -1.0))
            assert (await lane.transcribe(piece(7))).text == "7"

    run(scenario)


def test_a_lone_request_waits_for_nothing_and_company_is_waited_for_a_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batching, "_COLLECT_SECONDS", PATIENCE)

    async def scenario(batcher: Batcher, recogniser: Recogniser) -> None:
        recogniser.gate.set()
        await text(batcher, 10)
        with batcher.lane() as one, batcher.lane() as other:
            first = asyncio.create_task(one.transcribe(piece(20)))
            await asyncio.sleep(0.001)
            second = asyncio.create_task(other.transcribe(piece(30)))
            await asyncio.gather(first, second)
            monkeypatch.setattr(batching, "_COLLECT_SECONDS", 0.01)
            await one.transcribe(piece(40))  # alone after all

    assert run(scenario).batches == [[10], [20, 30], [40]]


def test_lanes_that_may_bring_nothing_for_long_are_not_waited_for() -> None:
    async def scenario(batcher: Batcher, recogniser: Recogniser) -> None:
        recogniser.gate.set()
        with batcher.lane(imminent=False):
            first = asyncio.create_task(text(batcher, 10))
            while not recogniser.batches:
                await asyncio.sleep(0)
            second = asyncio.create_task(text(batcher, 20))
            await asyncio.gather(first, second)

    assert run(scenario).batches == [[10], [20]]
