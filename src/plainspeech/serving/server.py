"""The server process: it accepts connections, and stops without losing what it has accepted."""

from __future__ import annotations

import asyncio
import math
import os
import socket
from multiprocessing.connection import Connection
from types import FrameType

import h11
import uvicorn
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from plainspeech.errors import ConfigurationError
from plainspeech.serving.children import READY, RETIRE
from plainspeech.serving.engine import Engine
from plainspeech.serving.request_log import log_json

_BACKLOG = 1024  # connections that wait to be accepted
_PROBE_SECONDS = 1.0
_TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"Connection: close\r\nContent-Length: 0\r\n\r\n"
)
_LARGEST_MESSAGE = 2**20  # bytes, in a live session: half a minute of audio


class _SharedSocket(socket.socket):
    """A listening socket from which several processes accept."""

    def listen(self, backlog: int = _BACKLOG) -> None:
        """Listen, with room for as many connections as ever.

        asyncio accepts as many at once as it asks room for: with 1, those that arrive together are
        spread over the processes.
        """
        super().listen(_BACKLOG)


def open_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket, from which processes may accept side by side.

    Args:
        host: name or address of an interface of this machine.
        port: 0 for any free one.

    Raises:
        ConfigurationError: the address cannot be used.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        server = socket.create_server(address, family=family, backlog=_BACKLOG)
    except OSError as error:
        known = error.errno is not None and not isinstance(error, socket.gaierror)
        reason = os.strerror(error.errno or 0) if known else error.strerror
        raise ConfigurationError(
            f"cannot listen on {host}, port {port}: {reason}; choose another --host or --port"
        ) from error
    # Accepted sockets inherit it; asyncio sets it only for sockets that it opens itself. Without it
    # the body of a response waits until the client acknowledges its head, which takes 40 ms.
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return _SharedSocket(server.family, server.type, server.proto, server.detach())


class _HttpProtocol(H11Protocol):
    """HTTP that answers clients that half-close, and closes connections that are idle.

    uvicorn closes a connection when the client shuts down its sending side, though it may still
    wait for the response; and it waits for ever for a first request. Here an idle connection is
    closed after once to twice the time of `uvicorn.Config.timeout_keep_alive`.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, and start the timer."""
        super().connection_made(transport)
        self._seen = self.cycle
        self._unsent = 0
        self._half_closed = False
        self._probe_timer: asyncio.TimerHandle | None = None
        self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and stop the timer."""
        self._timer.cancel()
        if self._probe_timer is not None:
            self._probe_timer.cancel()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection open if a complete request waits for its response."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:
            return False
        self._half_closed = True
        cycle.keep_alive = False
        self._probe_timer = self.loop.call_later(_PROBE_SECONDS, self._probe)
        return True

    def on_response_complete(self) -> None:
        """Close the connection of a client that sends no more requests."""
        super().on_response_complete()
        if self._half_closed:
            self.transport.close()

    def _probe(self) -> None:
        """Detect whether the client has closed the connection altogether.

        An interim response (RFC 9110, 15.2), which every client must ignore, gives an error then.
        """
        cycle = self.cycle
        if self.transport.is_closing() or cycle.response_started:
            return
        if cycle.scope["http_version"] == "1.1":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._probe_timer = self.loop.call_later(_PROBE_SECONDS, self._probe)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP; a request that it came within gets no second response."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:  # a response has begun, or may have no body
            self.transport.close()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand over to the WebSocket protocol; live sessions have their own timer."""
        self._timer.cancel()
        super().handle_websocket_upgrade(event)

    def _look_later(self) -> None:
        self._timer = self.loop.call_later(self.timeout_keep_alive, self._look)

    def _look(self) -> None:
        idle = self.cycle is None or self.cycle.response_complete
        unsent = self.transport.get_write_buffer_size()
        if idle and self.cycle is self._seen and not (unsent and unsent < self._unsent):
            # A client that reads nothing of its response would keep a closing connection open.
            self.transport.abort() if unsent else self.transport.close()
            return
        self._seen, self._unsent = self.cycle, unsent
        self._look_later()


class _WebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSockets with an answer to every handshake, and no traceback for text that is not UTF-8."""

    def data_received(self, data: bytes) -> None:
        """Take bytes; refuse a request that h11 can read and websockets finds too long."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(_TOO_LONG)
            self.transport.close()

    def send_receive_event_to_app(self) -> None:
        """Pass a message on; such text becomes one that the application does not know."""
        if self.curr_msg_data_type == "text":
            self.frames = [b"".join(self.frames).decode(errors="replace").encode()]
        super().send_receive_event_to_app()


class Server(uvicorn.Server):
    """Serves an application until SIGTERM or SIGINT, then drains; a second signal ends it at once.

    A worker is told by its parent instead.

    Args:
        app: of `plainspeech.serving.app.create_app`.
        parent: of a worker, see `plainspeech.serving.children`.
    """

    def __init__(self, app: FastAPI, parent: Connection | None = None) -> None:
        self._engine: Engine = app.state.engine
        self._app = app
        self._parent = parent
        self._retiring = False
        super().__init__(
            uvicorn.Config(
                self._application,
                interface="asgi3",
                http=_HttpProtocol,
                timeout_keep_alive=math.ceil(self._engine.settings.silence_seconds),
                ws=_WebSocketProtocol,
                ws_max_size=_LARGEST_MESSAGE,
                log_level="warning",  # access logs would contain the tokens of live sessions
                server_header=False,
                backlog=1,
            )
        )
        self._ending: asyncio.Task[None] | None = None
        if self._engine.settings.json_logs:
            log_json()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve as uvicorn does; remember the loop, for signals that come at any time from now."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does, and tell the parent."""
        await super().startup(sockets)
        if self._parent is not None:
            self._loop.add_reader(self._parent.fileno(), self._hear, self._parent)
            self._parent.send(READY + self._engine.name)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; at the second signal, end."""
        if not self._engine.capacity.draining.is_set():
            self._engine.capacity.draining.set()
            self._loop.call_soon_threadsafe(self._begin)
        elif self._parent is None:
            self.should_exit = self.force_exit = True

    async def _application(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; where it must not be used again, the client is told."""

        async def closing(message: Message) -> None:
            if self._retiring and message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive, closing)

    def _hear(self, parent: Connection) -> None:
        """Do what the parent says; drain if it is no more."""
        try:
            word = parent.recv()
        except (EOFError, OSError):
            word = None
            self._loop.remove_reader(parent.fileno())
        if word == RETIRE and not self._retiring:
            self._retiring = True
            self._ending = self._loop.create_task(self._retire())
        elif word != RETIRE:
            self._begin()

    def _begin(self) -> None:
        self._ending = self._loop.create_task(self._stop())

    async def _retire(self) -> None:
        """Take no more connections, and drain when those that are open have been closed.

        Each is closed after its next response. One that is idle is left to the timer: a client
        might be sending its next request.
        """
        for server in self.servers:
            for listening in server.sockets:
                self._loop.remove_reader(listening.fileno())
            await asyncio.sleep(0.1)  # those that have been accepted need the server for a moment
            server.close()
        end = self._loop.time() + self._engine.settings.request_seconds
        while self.server_state.connections and self._loop.time() < end:
            await asyncio.sleep(0.1)
        await self._stop()

    async def _stop(self) -> None:
        timeout = self._engine.settings.drain_seconds
        try:
            await asyncio.wait_for(self._engine.capacity.drained(), timeout)
        except asyncio.TimeoutError:
            self.force_exit = True
        self.should_exit = True
