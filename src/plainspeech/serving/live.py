"""``WS /v1/stream``: live audio in, text out while it is spoken."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import anyio
from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from plainspeech.runtime.events import Event, message
from plainspeech.serving.batching import HotWords, Lane
from plainspeech.serving.engine import Engine
from plainspeech.serving.errors import ApiError
from plainspeech.serving.pcm import PcmReader
from plainspeech.serving.transcribers import QueuedSession, SessionTranscriber, StreamedSession

PATH = "/v1/stream"

_RATES = (8_000, 192_000)  # Hz
_PORTION = 512  # samples that are looked at together
_CLOSE_CODES = {  # RFC 6455, section 7.4.1, and the IANA's registry
    HTTPStatus.TOO_MANY_REQUESTS: 1013,
    HTTPStatus.SERVICE_UNAVAILABLE: 1012,
    HTTPStatus.INTERNAL_SERVER_ERROR: 1011,
}
_POLICY_VIOLATION = 1008

router = APIRouter()


@router.websocket(PATH)
async def stream(socket: WebSocket) -> None:
    """Transcribe live audio."""
    engine: Engine = socket.app.state.engine
    await socket.accept()  # also where it is refused: browsers hide the status of a handshake
    try:
        _check_origin(socket)
        engine.admission.check_token(_authorization(socket))
        rate = _sample_rate(socket)
        hot_words = engine.hot_words(lines=socket.query_params.get("hot_words", ""))
        with engine.admission.session():
            await Session(socket, engine, rate, hot_words).run()
        await socket.close()
    except ApiError as error:
        await _refuse(socket, error)
    except WebSocketDisconnect:
        pass
    except Exception:
        text = "The server failed at this session; its log tells why."
        await _refuse(socket, ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, text, "internal_error"))
        raise


class Session:
    """One client that speaks.

    Args:
        socket: accepted.
        engine: of the server.
        rate: Hz, of the client's audio.
        hot_words: for what it says.
    """

    def __init__(
        self, socket: WebSocket, engine: Engine, rate: int, hot_words: HotWords | None
    ) -> None:
        self._socket = socket
        self._hot_words = hot_words
        self._engine = engine
        self._rate = engine.live.sample_rate
        self._pcm = PcmReader(rate, self._rate, _PORTION)
        self._samples = 0
        self._patience = engine.settings.silence_seconds

    async def run(self) -> None:
        """Serve it to its end.

        Raises:
            ApiError: the client fell silent or sent what is no message, or the server stops.
            WebSocketDisconnect: the client left.
        """
        draining = asyncio.create_task(self._engine.admission.draining.wait())
        try:
            with self._engine.batcher.lane(self._hot_words, imminent=False) as lane:
                transcriber = self._transcriber(lane)
                try:
                    await self._send({"type": "ready"})
                    while (portion := await self._next(draining)) is not None:
                        if self._pcm.feed(portion):
                            await self._take(transcriber)
                    await self._take(transcriber, last=True)
                    await transcriber.finish()
                finally:
                    transcriber.close()
            if draining.done():
                self._engine.admission.check_draining()
            duration = round(self._samples / self._rate, 3)
            await self._send({"type": "done", "duration": duration})
        finally:
            draining.cancel()

    def _transcriber(self, lane: Lane) -> SessionTranscriber:
        """Return what makes text of this session."""
        engine = self._engine
        if engine.live.streaming is None:
            return QueuedSession(lane, engine.live.cutter(), self._rate, self._emit)
        live = engine.live.begin(self._hot_words)
        return StreamedSession(live, self._rate, engine.hearers, engine.metrics, self._emit)

    async def _take(self, transcriber: SessionTranscriber, last: bool = False) -> None:
        waveform = await anyio.to_thread.run_sync(self._pcm.take, last)
        self._samples += len(waveform)
        await transcriber.feed(waveform)

    async def _next(self, draining: asyncio.Task[Any]) -> bytes | None:
        """Return the next portion of audio, None at its end."""
        receiving = asyncio.create_task(self._socket.receive())
        try:
            await asyncio.wait(
                {receiving, draining}, timeout=self._patience, return_when=asyncio.FIRST_COMPLETED
            )
            if draining.done():
                return None
            if receiving.done():
                return _portion(receiving.result())
        finally:
            receiving.cancel()
        raise ApiError(
            HTTPStatus.REQUEST_TIMEOUT,
            f"Nothing came for {self._patience:g} s; send silence as samples of zero.",
            "silence_timeout",
        )

    async def _emit(self, event: Event) -> None:
        await self._send(message(event))

    async def _send(self, values: dict[str, Any]) -> None:
        """Send JSON; a client that does not read for long has left."""
        try:
            with anyio.fail_after(self._patience):
                await self._socket.send_text(json.dumps(values, ensure_ascii=False))
        except TimeoutError:
            raise WebSocketDisconnect from None


def _portion(received: Any) -> bytes | None:
    """Return the audio of a message, None if it is the end.

    Raises:
        ApiError: it is no message of ours.
        WebSocketDisconnect: it tells that the client has left.
    """
    if received["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(received.get("code", 1005))
    portion: bytes | None = received.get("bytes")
    if portion is None and not _is_end(received["text"]):
        raise ApiError(
            HTTPStatus.BAD_REQUEST,
            'This text message is unknown; there is {"type": "end"}, and audio is binary.',
            "invalid_message",
        )
    return portion


def _is_end(text: str) -> bool:
    try:
        return bool(json.loads(text) == {"type": "end"})
    except (ValueError, RecursionError):
        return False


def _check_origin(socket: WebSocket) -> None:
    """Refuse pages of other sites, which browsers let connect to any WebSocket."""
    origin = socket.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != socket.headers.get("host"):
        raise ApiError(
            HTTPStatus.FORBIDDEN, "Pages of other sites may not connect here.", "foreign_origin"
        )


def _authorization(socket: WebSocket) -> str | None:
    """Return the header, or the parameter in its place: browsers cannot send the header."""
    token = socket.query_params.get("token")
    return socket.headers.get("authorization") if token is None else f"Bearer {token}"


def _sample_rate(socket: WebSocket) -> int:
    text = socket.query_params.get("sample_rate", "16000")
    low, high = _RATES
    if not (text.isascii() and text.isdigit() and len(text) < 9 and low <= int(text) <= high):
        raise ApiError(
            HTTPStatus.BAD_REQUEST,
            f"sample_rate must be a whole number of Hz from {low} to {high}.",
            "invalid_sample_rate",
            "sample_rate",
        )
    return int(text)


async def _refuse(socket: WebSocket, error: ApiError) -> None:
    code = _CLOSE_CODES.get(HTTPStatus(error.status_code), _POLICY_VIOLATION)
    with suppress(WebSocketDisconnect, RuntimeError):  # it may have left, or be told so already
        await socket.send_json({"type": "error", "error": error.error})
        await socket.close(code)
