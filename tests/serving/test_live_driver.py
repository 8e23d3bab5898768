"""A live session that is cancelled, whatever it waits for."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest

from plainspeech.arrays import Array
from plainspeech.serving.live_driver import LiveDriver

NOTHING = np.empty(0, np.float32)


@dataclass(frozen=True)
class Job:
    """A partial result, or the final one."""

    is_optional: bool
    stream = None
    waveform = NOTHING

    def complete(self, _: object) -> list[Any]:
        return []


class Transcription:
    """Has one job of either kind."""

    def feed(self, _: Array) -> list[Job]:
        return [Job(is_optional=True)]

    def finish(self) -> list[Job]:
        return [Job(is_optional=False)]


class Lane:
    """Takes its time to let go of a chunk."""

    def __init__(self) -> None:
        self.begun, self.let_go, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.chunks = 0

    async def transcribe(self, _: Array) -> None:
        self.chunks += 1
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
            await self.let_go.wait()


def test_a_session_that_waits_for_a_partial_result_to_end_can_be_cancelled() -> None:
    async def main() -> None:
        lane = Lane()
        transcription: Any = Transcription()
        driver = LiveDriver(transcription, cast("Any", None), cast("Any", lane), cast("Any", None))
        await driver.feed(NOTHING)
        await lane.begun.wait()
        session = asyncio.create_task(driver.finish())
        await lane.cancelled.wait()
        session.cancel()
        lane.let_go.set()
        with pytest.raises(asyncio.CancelledError):
            await session
        assert lane.chunks == 1

    asyncio.run(asyncio.wait_for(main(), 60))
