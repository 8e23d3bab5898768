"""Recordings of any length through the queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from http import HTTPStatus
from typing import BinaryIO, cast

import anyio

from plainspeech import audio
from plainspeech.arrays import Array
from plainspeech.errors import PlainspeechError
from plainspeech.runtime.long_audio import Heard, listen, whole
from plainspeech.serving.batching import HotWords, Lane
from plainspeech.serving.engine import Engine
from plainspeech.serving.errors import ApiError
from plainspeech.serving.uploads import NamedUpload
from plainspeech.transcript import Transcript


class Recording:
    """One upload.

    Args:
        engine: of the server.
        file: that can seek; it is closed at the end.
        hot_words: for this recording.
    """

    def __init__(self, engine: Engine, file: BinaryIO, hot_words: HotWords | None) -> None:
        self._engine = engine
        self._file = NamedUpload(file)
        self._hot_words = hot_words

    async def transcript(self) -> Transcript:
        """Return all that is said in it.

        Raises:
            ApiError: it cannot be read, or is too long.
        """
        return whole([heard async for heard in self.listen()])

    async def listen(self) -> AsyncGenerator[Heard, None]:
        """Yield what is said in it, in order, as soon as it is known.

        It is read and cut in a thread, which waits in the queue with its pieces.

        Raises:
            ApiError: as `transcript`.
        """
        with self._engine.batcher.lane(self._hot_words) as lane:
            stretches = self._stretches(lane)
            try:
                while True:
                    heard = await anyio.to_thread.run_sync(
                        next, stretches, None, limiter=self._engine.readers
                    )
                    if heard is None:
                        return
                    yield heard
            except PlainspeechError as error:
                message = f"{str(error).rstrip('.')}."
                raise ApiError(HTTPStatus.BAD_REQUEST, message, "invalid_audio", "file") from error
            finally:
                stretches.close()
                self._file.close()

    def _stretches(self, lane: Lane) -> Generator[Heard, None, None]:
        def hear(waveforms: Sequence[Array]) -> list[Transcript]:
            return anyio.from_thread.run(self._hear, lane, waveforms)

        rate = self._engine.sample_rate
        with audio.opened(cast(BinaryIO, self._file), rate) as recording:
            self._check_length(recording.duration or 0.0)
            blocks = self._bounded(recording.blocks)
            yield from listen(blocks, rate, hear, self._engine.detector)

    async def _hear(self, lane: Lane, waveforms: Sequence[Array]) -> list[Transcript]:
        return await asyncio.gather(*map(lane.transcribe, waveforms))

    def _bounded(self, blocks: Iterator[Array]) -> Iterator[Array]:
        """Yield ``blocks`` as long as they may be, and somebody waits for what they say."""
        samples = 0
        for block in blocks:
            anyio.from_thread.check_cancelled()
            samples += len(block)
            self._check_length(samples / self._engine.sample_rate)
            yield block

    def _check_length(self, seconds: float) -> None:
        most = self._engine.settings.audio_seconds
        if seconds > most:
            raise ApiError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The recording is longer than {most / 60:g} minutes; send it in parts.",
                "audio_too_long",
                "file",
            )
