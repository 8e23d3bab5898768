"""The process: listens, and stops without losing what it has accepted."""

from __future__ import annotations

import asyncio
import math
import os
import socket
from types import FrameType

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from plainspeech.errors import PlainspeechError
from plainspeech.serving.engine import Engine

_LARGEST_MESSAGE = 2**20  # bytes, of a live session: half a minute of audio


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: name or address of an interface of this machine.
        port: 0 takes a free one.

    Raises:
        PlainspeechError: it cannot.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        server = socket.create_server(address, family=family, backlog=1024)
    except OSError as error:
        known = error.errno is not None and not isinstance(error, socket.gaierror)
        reason = os.strerror(error.errno or 0) if known else error.strerror
        raise PlainspeechError(
            f"cannot listen at {host}, port {port}: {reason}; choose another --host or --port"
        ) from error
    # What is accepted has it from here; asyncio sets it for sockets of its own alone. Without, the
    # body of an answer waits for the client to acknowledge its head, which it does after 40 ms.
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return server


class _Impatient(H11Protocol):
    """HTTP, where a connection without a request is closed; uvicorn waits for ever for the first.

    It is closed between once and twice the time of `uvicorn.Config.timeout_keep_alive`.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, and look at the clock."""
        super().connection_made(transport)
        self._seen = self.cycle
        self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._timer.cancel()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand over to the protocol of live sessions, which has its own clock."""
        self._timer.cancel()
        super().handle_websocket_upgrade(event)

    def _look_later(self) -> None:
        self._timer = self.loop.call_later(self.timeout_keep_alive, self._look)

    def _look(self) -> None:
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self.cycle is self._seen:
            self.transport.close()
            return
        self._seen = self.cycle
        self._look_later()


class Server(uvicorn.Server):
    """Serves an application until SIGTERM or SIGINT, then drains; a second signal ends it at once.

    Args:
        app: of `plainspeech.serving.app.create_app`.
    """

    def __init__(self, app: FastAPI) -> None:
        self._engine: Engine = app.state.engine
        super().__init__(
            uvicorn.Config(
                app,
                http=_Impatient,
                timeout_keep_alive=math.ceil(self._engine.settings.silence_seconds),
                ws="websockets-sansio",
                ws_max_size=_LARGEST_MESSAGE,
                log_level="warning",  # access logs would hold the tokens of live sessions
                server_header=False,
            )
        )
        self._drain: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does; remember the loop for signals."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; at the second signal, end."""
        if self._engine.admission.draining.is_set():
            self.should_exit = self.force_exit = True
        else:
            self._engine.admission.draining.set()
            self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        self._drain = self._loop.create_task(self._stop())

    async def _stop(self) -> None:
        patience = self._engine.settings.drain_seconds
        try:
            await asyncio.wait_for(self._engine.admission.drained(), patience)
        except asyncio.TimeoutError:
            self.force_exit = True
        self.should_exit = True
