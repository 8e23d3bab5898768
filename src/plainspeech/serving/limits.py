"""Limits of uploads, which apply before and while a body is read: size, time, number."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plainspeech.serving.access import check_token
from plainspeech.serving.capacity import Capacity
from plainspeech.serving.errors import ApiError
from plainspeech.serving.settings import ServerSettings

# A refused upload is read for this long: a client whose connection is reset sees no answer.
_LINGER_SECONDS = 2.0


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
            check_size(int(headers.get("content-length", "0")), self._settings)
            with self._capacity.upload_slot():
                await Upload(self._settings, scope, receive, send).run(self._app)
        except ApiError as error:
            await _refuse(error, scope, receive, send)
        return None


class Upload:
    """One upload and its response.

    Its body is limited in size and in the time between two parts, the whole request in time. When
    the client disconnects, the application is cancelled.
    """

    def __init__(
        self, settings: ServerSettings, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._settings = settings
        self._scope = scope
        self._receive = receive
        self._send = send
        self._received = 0
        self._whole = asyncio.Event()
        self._disconnected = asyncio.Event()
        self._error: ApiError | None = None
        self._answering = False

    async def run(self, app: ASGIApp) -> None:
        """Let ``app`` handle it.

        Raises:
            ApiError: the body is too large or too slow, or the request took too long.
        """
        with anyio.move_on_after(self._settings.request_seconds) as self._work:
            self._watching = asyncio.create_task(self._watch())
            try:
                await app(self._scope, self._next, self._answer)
            finally:
                self._watching.cancel()
        if self._work.cancelled_caught and not self._answering and not self._disconnected.is_set():
            raise self._error or ApiError(
                HTTPStatus.GATEWAY_TIMEOUT,
                f"The request took longer than {self._settings.request_seconds:g} s; "
                "send a shorter recording, or try again when the server is less busy.",
                "timeout",
            )

    async def _next(self) -> Message:
        """Return the next part of the body; after the last, wait until the client disconnects."""
        if self._whole.is_set():
            await self._disconnected.wait()
            return {"type": "http.disconnect"}
        try:
            with anyio.fail_after(self._settings.silence_seconds):
                message = await self._receive()
            self._received += len(message.get("body", b""))
            check_size(self._received, self._settings)
        except TimeoutError:
            seconds = self._settings.silence_seconds
            self._error = ApiError(
                HTTPStatus.REQUEST_TIMEOUT,
                f"No data arrived for {seconds:g} s of an incomplete request; send it again.",
                "upload_timeout",
            )
            self._work.cancel()
        except ApiError as error:
            self._error = error
            self._work.cancel()
        else:
            self._note(message)
            return message
        await anyio.sleep_forever()  # which ends at once: the work is cancelled
        raise AssertionError

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
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._watching.cancel()  # after the last part, every client counts as gone
        await self._send(message)


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


async def _refuse(error: ApiError, scope: Scope, receive: Receive, send: Send) -> None:
    """Respond with ``error``, and keep reading for a moment what the client still sends."""
    response = error.response()
    response.headers["Connection"] = "close"
    await send(
        {
            "type": "http.response.start",
            "status": response.status_code,
            "headers": response.raw_headers,
        }
    )
    await send({"type": "http.response.body", "body": response.body, "more_body": True})
    with anyio.move_on_after(_LINGER_SECONDS):
        while (message := await receive())["type"] == "http.request":
            if not message.get("more_body", False):
                break
    await send({"type": "http.response.body", "body": b"", "more_body": False})
