"""How many requests and live sessions a server takes at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from plainspeech.serving.errors import ApiError
from plainspeech.serving.metrics import Metrics
from plainspeech.serving.settings import ServerSettings

_RETRY_SECONDS = 2
_GRACE_SECONDS = 0.25


class Capacity:
    """The slots of a server; it gives none once it is told to stop.

    Attributes:
        settings: of the server.
        draining: set when the server has been told to stop.
        uploads: requests that hold a slot.
        sessions: live sessions that hold one.
    """

    def __init__(self, settings: ServerSettings, metrics: Metrics) -> None:
        self.settings = settings
        self.draining = asyncio.Event()
        self.uploads = 0
        self.sessions = 0
        metrics.in_flight.set_function(lambda: self.uploads)
        metrics.live.set_function(lambda: self.sessions)

    @contextmanager
    def upload_slot(self) -> Iterator[None]:
        """Hold a slot for a request until the block ends.

        Raises:
            ApiError: all are taken, or the server is stopping.
        """
        self._check(self.uploads)
        self.uploads += 1
        try:
            yield
        finally:
            self.uploads -= 1

    @contextmanager
    def session_slot(self) -> Iterator[None]:
        """Hold a slot for a live session until the block ends.

        Raises:
            ApiError: all are taken, or the server is stopping.
        """
        self._check(self.sessions)
        self.sessions += 1
        try:
            yield
        finally:
            self.sessions -= 1

    async def drained(self) -> None:
        """Give no more slots, and wait until the last one is free.

        Requests that arrive in the next moment get an answer that says so.
        """
        self.draining.set()
        await asyncio.sleep(_GRACE_SECONDS)
        while self.uploads or self.sessions:
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

    def _check(self, taken: int) -> None:
        self.check_draining()
        if taken >= self.settings.queue:
            raise ApiError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"The server is busy; try again after {_RETRY_SECONDS} s.",
                "queue_full",
                retry_after=_RETRY_SECONDS,
            )
