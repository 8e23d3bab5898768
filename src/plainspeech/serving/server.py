"""The process: listens, and stops without losing what it has accepted."""

from __future__ import annotations

import asyncio
import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI

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
        return socket.create_server(address, family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PlainspeechError(
            f"cannot listen at {host}, port {port}: {reason}; choose another --host or --port"
        ) from error


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
                http="h11",
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
