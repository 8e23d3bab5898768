"""Who is let in."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from plainspeech.serving.errors import ApiError
from plainspeech.serving.metrics import Metrics
from plainspeech.serving.settings import ServerSettings

_RETRY_SECONDS = 2
_GRACE_SECONDS = 0.25


class Admission:
    """The places of a server, and whether it still gives any.

    Attributes:
        settings: of the server.
        draining: set when the server has been told to stop.
        uploads: requests that have a place.
        sessions: live sessions that have one.
    """

    def __init__(self, settings: ServerSettings, metrics: Metrics) -> None:
        self.settings = settings
        self.draining = asyncio.Event()
        self.uploads = 0
        self.sessions = 0
        metrics.in_flight.set_function(lambda: self.uploads)
        metrics.live.set_function(lambda: self.sessions)

    @contextmanager
    def upload(self) -> Iterator[None]:
        """Take a place for a request until the block ends.

        Raises:
            ApiError: there is none.
        """
        self._check(self.uploads)
        self.uploads += 1
        try:
            yield
        finally:
            self.uploads -= 1

    @contextmanager
    def session(self) -> Iterator[None]:
        """Take a place for a live session until the block ends.

        Raises:
            ApiError: there is none.
        """
        self._check(self.sessions)
        self.sessions += 1
        try:
            yield
        finally:
            self.sessions -= 1

    def check_token(self, authorization: str | None) -> None:
        """Refuse a wrong ``Authorization``, in a time that tells nothing of the right one.

        Raises:
            ApiError: it is not the server's token.
        """
        token = self.settings.token
        if token is None:
            return
        scheme, _, given = (authorization or "").partition(" ")
        same = hmac.compare_digest(given.strip().encode(), token.encode())
        if scheme.lower() != "bearer" or not same:
            raise ApiError(
                HTTPStatus.UNAUTHORIZED,
                "The token is missing or wrong; send the header 'Authorization: Bearer TOKEN'.",
                "invalid_api_key",
            )

    async def drained(self) -> None:
        """Stop giving places, and wait until the last that was given is free.

        Requests that are on their way for another moment are told so, not cut off.
        """
        self.draining.set()
        await asyncio.sleep(_GRACE_SECONDS)
        while self.uploads or self.sessions:
            await asyncio.sleep(0.02)

    def check_draining(self) -> None:
        """Refuse everything if the server is about to stop.

        Raises:
            ApiError: it is.
        """
        if self.draining.is_set():
            raise ApiError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The server is about to stop; try again in a moment, or another one.",
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
