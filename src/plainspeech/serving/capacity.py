"""Capacity of a server: concurrent requests, live sessions and bytes of uploads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus

import anyio

from plainspeech.serving.api_errors import ApiError
from plainspeech.serving.metrics import Metrics
from plainspeech.serving.server_settings import ServerSettings

_RETRY_SECONDS = 2
_GRACE_SECONDS = 0.25
_LONGEST_LINE = 4  # requests that may wait for each slot


class Capacity:
    """The slots and the room of a server; it gives none once it is told to stop.

    Requests wait for a slot in a line, first come, first served, but not for long: a client that
    is told to retry is better off than one without an answer.

    Attributes:
        settings: of the server.
        draining: set when the server has been told to stop.
        uploads: requests that hold a slot.
        waiting: requests that wait for one.
        sessions: live sessions that hold a slot.
        reserved: bytes of the uploads of all requests.
    """

    def __init__(self, settings: ServerSettings, metrics: Metrics) -> None:
        self.settings = settings
        self.draining = asyncio.Event()
        self.uploads = self.waiting = self.sessions = self.reserved = 0
        self._slots = anyio.Semaphore(settings.queue, fast_acquire=True)
        self._metrics = metrics

    @asynccontextmanager
    async def upload_slot(self) -> AsyncIterator[None]:
        """Hold a slot for a request until the block ends; wait for one if all are taken.

        Raises:
            ApiError: none was free in time, too many are waiting, or the server is stopping.
        """
        self.check_draining()
        await self._wait()
        self.uploads += 1
        try:
            with self._metrics.in_flight.track_inprogress():
                self.check_draining()
                yield
        finally:
            self.uploads -= 1
            self._slots.release()

    @contextmanager
    def session_slot(self) -> Iterator[None]:
        """Hold a slot for a live session until the block ends.

        Raises:
            ApiError: all are taken, or the server is stopping.
        """
        self.check_draining()
        if self.sessions >= self.settings.queue:
            raise _busy()
        self.sessions += 1
        try:
            with self._metrics.live.track_inprogress():
                yield
        finally:
            self.sessions -= 1

    def reserve(self, size: int) -> None:
        """Reserve room for ``size`` bytes of an upload, until they are given back as ``-size``.

        Raises:
            ApiError: the uploads of all requests leave too little.
        """
        if size > 0 and self.reserved + size > self.settings.spool_bytes:
            raise _busy("The uploads of other requests fill the storage")
        self.reserved += size

    async def drained(self) -> None:
        """Give no more slots, and wait until the last one is free.

        Requests that arrive in the next moment get an answer that says so.
        """
        self.draining.set()
        await asyncio.sleep(_GRACE_SECONDS)
        while self.uploads or self.waiting or self.sessions:
            await asyncio.sleep(0.02)

    def check_draining(self) -> None:
        """Refuse everything once the server is stopping.

        Raises:
            ApiError: it is.
        """
        if self.draining.is_set():
            raise ApiError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The server is stopping; try again in a moment, or use another server.",
                "draining",
                retry_after=_RETRY_SECONDS,
            )

    async def _wait(self) -> None:
        """Wait for a slot.

        Raises:
            ApiError: it takes too long.
        """
        try:
            # A semaphore gives its slots in the order in which they were asked for.
            return self._slots.acquire_nowait()
        except anyio.WouldBlock:
            pass
        if self.waiting >= _LONGEST_LINE * self.settings.queue:
            raise _busy()
        self.waiting += 1
        try:
            with anyio.fail_after(self.settings.wait_seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise _busy() from None
        finally:
            self.waiting -= 1


def _busy(reason: str = "The server is busy") -> ApiError:
    return ApiError(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"{reason}; try again after {_RETRY_SECONDS} s.",
        "queue_full",
        retry_after=_RETRY_SECONDS,
    )
