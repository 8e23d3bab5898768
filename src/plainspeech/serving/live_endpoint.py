"""``WS /v1/stream``: live audio in, text out while it is spoken."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import anyio
from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from plainspeech.decoding.hot_words import HotWords
from plainspeech.errors import PlainspeechError
from plainspeech.runtime.live_core import LiveEvent, LiveTranscription, json_values, with_digits
from plainspeech.serving.access import check_site, check_token
from plainspeech.serving.api_errors import ApiError, api_error
from plainspeech.serving.engine import Engine
from plainspeech.serving.live_driver import LiveDriver, PcmReader

PATH = "/v1/stream"

_RATES = (8_000, 192_000)  # Hz
_LEAST_SAMPLES = 512  # that are processed at a time, unless the audio ends
_SLOWEST = 20  # times as fast as it arrives, audio may play at most: bytes that trickle hold a slot
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
    await socket.accept()  # also where it is refused: browsers hide the status of handshakes
    try:
        check_site(socket.headers, engine.settings)
        check_token(engine.settings.token, _authorization(socket))
        rate = _sample_rate(socket)
        digits = _wants_digits(socket, engine)
        hot_words = engine.hot_words(lines=socket.query_params.get("hot_words", ""))
        with engine.capacity.session_slot():
            await LiveSession(socket, engine, rate, hot_words, digits).run()
        await socket.close()
    except ApiError as error:
        await _refuse(socket, error)
    except PlainspeechError as error:
        await _refuse(socket, api_error(error))
    except WebSocketDisconnect:
        pass
    except Exception:
        text = "The session failed in the server; its log has the cause."
        await _refuse(socket, ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, text, "internal_error"))
        raise


class LiveSession:
    """One client that sends live audio.

    Args:
        socket: accepted.
        engine: of the server.
        rate: Hz, of the client's audio.
        hot_words: for this session.
        digits: whether numbers of final results are written in digits.
    """

    def __init__(
        self,
        socket: WebSocket,
        engine: Engine,
        rate: int,
        hot_words: HotWords | None,
        digits: bool,
    ) -> None:
        self._socket = socket
        self._hot_words = hot_words
        self._digits = digits
        self._engine = engine
        self._rate = engine.live.sample_rate
        self._pcm = PcmReader(rate, self._rate, _LEAST_SAMPLES)
        self._samples = 0
        self._timeout = engine.settings.silence_seconds
        self._waited = 0.0  # seconds, since the client last sent enough
        self._arrived = 0  # bytes, likewise
        self._least = 2 * rate * self._timeout / _SLOWEST

    async def run(self) -> None:
        """Serve the session until its end.

        Raises:
            ApiError: the client sent nothing for too long or an unknown message, or the server is
                stopping.
            WebSocketDisconnect: the client disconnected.
        """
        draining = asyncio.create_task(self._engine.capacity.draining.wait())
        try:
            transcription = await self._begun()
            with self._engine.batcher.lane(self._hot_words, imminent=False) as lane:
                driver = LiveDriver(transcription, self._engine, lane, self._emit)
                try:
                    await self._send({"type": "ready"})
                    while (data := await self._next(draining)) is not None:
                        if self._pcm.feed(data):
                            await self._take(driver)
                    await self._take(driver, last=True)
                    await driver.finish()
                finally:
                    driver.close()
            if draining.done():
                self._engine.capacity.check_draining()
            duration = round(self._samples / self._rate, 3)
            await self._send({"type": "done", "duration": duration})
        finally:
            draining.cancel()

    async def _begun(self) -> LiveTranscription:
        """Return the transcription; hot words, which may take a while, are prepared in a thread."""
        begin = self._engine.live.transcription
        if self._hot_words is None:
            return begin()
        return await anyio.to_thread.run_sync(begin, self._hot_words)

    async def _take(self, driver: LiveDriver, last: bool = False) -> None:
        waveform = await anyio.to_thread.run_sync(self._pcm.take, last)
        self._samples += len(waveform)
        await driver.feed(waveform)

    async def _next(self, draining: asyncio.Task[Any]) -> bytes | None:
        """Return the next audio data, None at the end.

        Raises:
            ApiError: the client has sent too little for too long, not counting the time in which
                the server was busy.
        """
        receiving = asyncio.create_task(self._socket.receive())
        started = time.monotonic()
        try:
            await asyncio.wait(
                {receiving, draining},
                timeout=self._timeout - self._waited,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if draining.done():
                return None
            if receiving.done():
                data = _audio_data(receiving.result())
                self._note(len(data or b""), time.monotonic() - started)
                return data
        finally:
            receiving.cancel()
        raise ApiError(
            HTTPStatus.REQUEST_TIMEOUT,
            f"Almost no data arrived for {self._timeout:g} s; send silence as samples of zero.",
            "silence_timeout",
        )

    def _note(self, size: int, waited: float) -> None:
        """Count what has arrived, and how long it took."""
        self._arrived += size
        self._waited += waited
        if self._arrived >= self._least:
            self._arrived, self._waited = 0, 0.0

    async def _emit(self, event: LiveEvent) -> None:
        await self._send(json_values(with_digits(event) if self._digits else event))

    async def _send(self, values: dict[str, Any]) -> None:
        """Send JSON; a client that reads nothing for too long counts as disconnected."""
        try:
            with anyio.fail_after(self._timeout):
                await self._socket.send_text(json.dumps(values, ensure_ascii=False))
        except (TimeoutError, RuntimeError):  # uvicorn's, when it has closed but not yet told so
            raise WebSocketDisconnect from None


def _audio_data(received: Any) -> bytes | None:
    """Return the audio of a message, None if it is the end.

    Raises:
        ApiError: it is not a message of this interface.
        WebSocketDisconnect: the client disconnected.
    """
    if received["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(received.get("code", 1005))
    data: bytes | None = received.get("bytes")
    if data is None and not _is_end(received["text"]):
        raise ApiError(
            HTTPStatus.BAD_REQUEST,
            'Unknown text message; the only one is {"type": "end"}, and audio is binary.',
            "invalid_message",
        )
    return data


def _is_end(text: str) -> bool:
    try:
        return bool(json.loads(text) == {"type": "end"})
    except (ValueError, RecursionError):
        return False


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


def _wants_digits(socket: WebSocket, engine: Engine) -> bool:
    numbers = socket.query_params.get("numbers", "words")
    if numbers not in ("words", "digits"):
        raise ApiError(
            HTTPStatus.BAD_REQUEST, "numbers must be words or digits.", "invalid_field", "numbers"
        )
    if numbers == "digits":
        engine.check_digits()
    return numbers == "digits"


async def _refuse(socket: WebSocket, error: ApiError) -> None:
    code = _CLOSE_CODES.get(HTTPStatus(error.status_code), _POLICY_VIOLATION)
    with suppress(WebSocketDisconnect, RuntimeError):  # it may have disconnected
        await socket.send_json({"type": "error", "error": error.error})
        await socket.close(code)
