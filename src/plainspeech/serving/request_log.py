"""What became of each request: told to observers, and to the log as a line of JSON.

Each request has an identifier: the client's ``X-Request-ID``, or a random one. It is in the
response, and in every line of the log that the request causes.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "X-Request-ID"

LOGGER = logging.getLogger("plainspeech.serving")
"""Of the server; lines of JSON after `log_json`."""

_ACCEPTABLE = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)
"""Of a client's identifier; with anything else it could write what it likes into the log."""

_GONE = 499, 1006
"""nginx's status of a client that disconnected before the response, and the WebSocket code."""

_REFUSED = 403
"""What HTTP answers to a handshake that the application refuses: there is no WebSocket to close."""

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


@dataclass(frozen=True)
class FinishedRequest:
    """An HTTP request that was answered, or a WebSocket that was closed.

    Attributes:
        request_id: of the client, or random.
        method: of HTTP; ``WEBSOCKET`` for those.
        path: without the query, which may hold a token.
        status: of HTTP, also where it refused a WebSocket, or the code with which that was closed.
        seconds: from the first byte of the request to the last of the response.
    """

    request_id: str
    method: str
    path: str
    status: int
    seconds: float


class RequestMiddleware:
    """Gives each request its identifier, and tells observers when it is finished.

    Args:
        app: the application.
        observers: of requests.
    """

    def __init__(
        self, app: ASGIApp, observers: Sequence[Callable[[FinishedRequest], None]]
    ) -> None:
        self._app = app
        self._observers = observers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI has it."""
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        live = scope["type"] == "websocket"
        status, accepted, started = _GONE[live], False, time.perf_counter()
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if _ACCEPTABLE.fullmatch(given) else uuid4().hex
        # Not reset: what the server logs of an exception comes after this function.
        _request_id.set(request_id)

        async def watch(message: Message) -> None:
            nonlocal status, accepted
            kind = message["type"]
            if kind in ("http.response.start", "websocket.accept"):
                header = (HEADER.lower().encode(), request_id.encode())
                message["headers"] = [*message.get("headers", []), header]
            if kind == "http.response.start":
                status = message["status"]
            elif kind == "websocket.accept":
                accepted = True
            elif kind == "websocket.close":
                status = message.get("code", 1000) if accepted else _REFUSED
            await send(message)

        async def listen() -> Message:
            nonlocal status
            message = await receive()
            if message["type"] == "websocket.disconnect":
                status = message.get("code", 1005)
            return message

        try:
            await self._app(scope, listen if live else receive, watch)
        except Exception:
            status = 1011 if live else 500  # also where a response had begun
            raise
        finally:
            method = "WEBSOCKET" if live else scope["method"]
            seconds = time.perf_counter() - started
            finished = FinishedRequest(request_id, method, scope["path"], status, seconds)
            for observer in self._observers:
                observer(finished)
        return None


def log_request(request: FinishedRequest) -> None:
    """Write a line about ``request``, without its query, its content or who sent it."""
    values = asdict(request) | {"seconds": round(request.seconds, 4)}
    LOGGER.info("request", extra={"values": values})


def log_json() -> None:
    """Let this process write its log to standard error, as lines of JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter())
    for logger, level in (
        (LOGGER, logging.INFO),
        (logging.getLogger("uvicorn"), logging.WARNING),
        (logging.getLogger("asyncio"), logging.WARNING),
    ):
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level)


class _JsonFormatter(logging.Formatter):
    """A line of JSON a record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        values: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": record.process,
            "message": record.getMessage().strip(),
            "request_id": _request_id.get(),
            **getattr(record, "values", {}),
        }
        if record.exc_info:
            values["exception"] = self.formatException(record.exc_info)
        return json.dumps({name: value for name, value in values.items() if value is not None})
