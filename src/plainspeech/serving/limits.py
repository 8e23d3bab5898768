"""Limits of uploads, which apply before and while a body is read: size, rate, time and number."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plainspeech.serving.access import check_token
from plainspeech.serving.api_errors import ApiError, refuse
from plainspeech.serving.capacity import Capacity
from plainspeech.serving.events import MEDIA_TYPE
from plainspeech.serving.server_settings import ServerSettings


class LimitsMiddleware:
    """Checks the token, limits uploads, and cancels those that take too long.

    Args:
        app: the application.
        capacity: of the server.
        uploads: the path whose POST requests are uploads.
        protected: the beginnings of the paths that need the token.
    """

    def __init__(
        self, app: ASGIApp, capacity: Capacity, uploads: str, protected: tuple[str, ...]
    ) -> None:
        self._app = app
        self._capacity = capacity
        self._settings = capacity.settings
        self._uploads = uploads
        self._protected = protected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI has it."""
        if scope["type"] != "http" or not scope["path"].startswith(self._protected):
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        try:
            check_token(self._settings.token, headers.get("authorization"))
            if scope["path"] != self._uploads or scope["method"] != "POST":
                return await self._app(scope, receive, send)
            declared = int(headers.get("content-length", "0"))
            check_size(declared, self._settings)
            async with self._capacity.upload_slot():
                upload = Upload(self._capacity, declared, scope, receive, send)
                try:
                    await upload.run(self._app)
                finally:
                    upload.release()
        except ApiError as error:
            await refuse(error, receive, send)
        return None


class Upload:
    """One upload and its response.

    Its body is limited in size, in time as a whole and between two parts, and in its rate; the
    request is limited in time. When the client disconnects, the application is cancelled.

    Args:
        capacity: of the server, where the body takes its room.
        declared: bytes of the body by its header; 0 where that does not say.
        scope: of ASGI, as the two that follow.
        receive: takes messages.
        send: sends them.

    Raises:
        ApiError: there is no room for the body.
    """

    def __init__(
        self, capacity: Capacity, declared: int, scope: Scope, receive: Receive, send: Send
    ) -> None:
        capacity.reserve(declared)
        self._capacity = capacity
        self._settings = capacity.settings
        self._reserved = declared
        self._scope = scope
        self._receive = receive
        self._send = send
        self._received = 0
        self._started = time.monotonic()
        self._whole = asyncio.Event()
        self._disconnected = asyncio.Event()
        self._error: ApiError | None = None
        self._answering = False
        self._sends_events = False

    def release(self) -> None:
        """Give back the room of the body."""
        self._capacity.reserve(-self._reserved)
        self._reserved = 0

    async def run(self, app: ASGIApp) -> None:
        """Let ``app`` handle it.

        Raises:
            ApiError: the body is too large or too slow, or the request took too long. Where events
                are being sent already, it is the last of them.
        """
        with anyio.move_on_after(self._settings.request_seconds) as self._work:
            self._watching = asyncio.create_task(self._watch())
            try:
                await app(self._scope, self._next, self._answer)
            finally:
                self._watching.cancel()
        if not self._work.cancelled_caught or self._disconnected.is_set():
            return
        error = self._error or ApiError(
            HTTPStatus.GATEWAY_TIMEOUT,
            f"The request took longer than {self._settings.request_seconds:g} s; "
            "send a shorter recording, or try again when the server is less busy.",
            "timeout",
        )
        if not self._answering:
            raise error
        if self._sends_events:
            await self._answer({"type": "http.response.body", "body": error.event.encode()})

    async def _next(self) -> Message:
        """Return the next part of the body; after the last, wait until the client disconnects."""
        if self._whole.is_set():
            await self._disconnected.wait()
            return {"type": "http.disconnect"}
        try:
            message = await self._receive_in_time()
            self._take(len(message.get("body", b"")))
        except ApiError as error:
            self._error = error
            self._work.cancel()
        else:
            self._note(message)
            return message
        await anyio.sleep_forever()  # which ends at once: the work is cancelled
        raise AssertionError

    async def _receive_in_time(self) -> Message:
        settings = self._settings
        left = self._started + settings.upload_seconds - time.monotonic()
        try:
            with anyio.fail_after(min(left, settings.silence_seconds)):
                return await self._receive()
        except TimeoutError:
            if left <= settings.silence_seconds:
                raise _too_slow(f"took longer than {settings.upload_seconds:g} s") from None
            raise ApiError(
                HTTPStatus.REQUEST_TIMEOUT,
                f"No data arrived for {settings.silence_seconds:g} s of an incomplete request; "
                "send it again.",
                "upload_timeout",
            ) from None

    def _take(self, size: int) -> None:
        """Count a part of ``size`` bytes.

        Raises:
            ApiError: the body is too large or too slow, or there is no room for it.
        """
        self._received += size
        check_size(self._received, self._settings)
        if self._received > self._reserved:
            self._capacity.reserve(self._received - self._reserved)
            self._reserved = self._received
        elapsed = time.monotonic() - self._started
        rate = self._settings.upload_rate
        if elapsed > self._settings.silence_seconds and self._received < rate * elapsed:
            raise _too_slow(f"arrives at less than {rate:g} bytes a second")

    def _note(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            self._disconnected.set()
            self._work.cancel()
        elif not message.get("more_body", False):
            self._whole.set()

    async def _watch(self) -> None:
        """Note when the client disconnects after it has sent everything."""
        await self._whole.wait()
        self._note(await self._receive())

    async def _answer(self, message: Message) -> None:
        self._answering = True
        if message["type"] == "http.response.start":
            kind = Headers(raw=message.get("headers", [])).get("content-type", "")
            self._sends_events = kind.startswith(MEDIA_TYPE)
        elif not message.get("more_body", False):
            self._sends_events = False
            self._watching.cancel()  # after the last part, every client counts as gone
        try:
            with anyio.fail_after(self._settings.silence_seconds):
                await self._send(message)
        except TimeoutError:  # a client that reads nothing counts as gone, too
            self._note({"type": "http.disconnect"})


def check_size(size: int, settings: ServerSettings) -> None:
    """Refuse a body of ``size`` bytes that is larger than allowed.

    Raises:
        ApiError: it is.
    """
    if size > settings.upload_bytes:
        raise ApiError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The request is larger than {settings.upload_bytes / 2**20:g} MiB; send a shorter "
            "recording or a compressed one, such as Opus.",
            "upload_too_large",
            "file",
        )


def _too_slow(what: str) -> ApiError:
    return ApiError(
        HTTPStatus.REQUEST_TIMEOUT,
        f"The upload {what}; send it over a faster connection, or a compressed recording.",
        "upload_timeout",
    )
