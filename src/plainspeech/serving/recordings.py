"""Recordings of any length, piece by piece through the queue."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from http import HTTPStatus
from typing import BinaryIO, cast

import anyio
import numpy as np
import numpy.typing as npt

from plainspeech import audio
from plainspeech.errors import PlainspeechError
from plainspeech.serving.batching import HotWords, Lane
from plainspeech.serving.engine import Engine
from plainspeech.serving.errors import ApiError
from plainspeech.serving.pauses import PauseCutter, Utterance
from plainspeech.serving.uploads import NamedUpload, promised_seconds
from plainspeech.transcript import Segment, Transcript

Array = npt.NDArray[np.float32]

_WHOLE_SECONDS = 20.0  # a recording up to here is one piece, without a look at voice activity
_AHEAD = 8  # pieces of one recording that wait or are under way, which bounds its memory


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
        self._samples = 0

    async def transcript(self) -> Transcript:
        """Return all that is said in it.

        Raises:
            ApiError: it cannot be read, or is too long.
        """
        segments = [segment async for segment in self.segments()]
        return Transcript.of_segments(segments, self._samples / self._engine.sample_rate)

    async def segments(self) -> AsyncGenerator[Segment, None]:
        """Yield what is said in it, in order, as soon as it is known.

        Raises:
            ApiError: as `transcript`.
        """
        pieces = self._pieces()
        waiting: deque[tuple[float, asyncio.Task[Transcript]]] = deque()
        with self._engine.batcher.lane(self._hot_words) as lane:
            try:
                while True:
                    await self._fill(waiting, pieces, lane)
                    if not waiting:
                        return
                    start, task = waiting.popleft()
                    for segment in (await task).segments:
                        yield _later(segment, start)
            finally:
                self._file.close()
                for _, task in waiting:
                    task.cancel()

    async def _fill(
        self,
        waiting: deque[tuple[float, asyncio.Task[Transcript]]],
        pieces: Iterator[list[Utterance]],
        lane: Lane,
    ) -> None:
        """Read pieces, in threads, until as many wait as may, or there are no more."""
        while len(waiting) < _AHEAD:
            found = await anyio.to_thread.run_sync(next, pieces, None)
            if found is None:
                return
            for piece in found:
                task = asyncio.create_task(lane.transcribe(piece.waveform))
                waiting.append((piece.start / self._engine.sample_rate, task))

    def _pieces(self) -> Iterator[list[Utterance]]:
        """Yield pieces, often none: what ends each block, lest hours of silence be one step."""
        try:
            self._check_length(promised_seconds(self._file))
            yield from self._cut(
                self._bounded(audio.blocks(cast(BinaryIO, self._file), self._engine.sample_rate))
            )
        except PlainspeechError as error:
            message = f"{str(error).rstrip('.')}."
            raise ApiError(HTTPStatus.BAD_REQUEST, message, "invalid_audio", "file") from error

    def _bounded(self, blocks: Iterator[Array]) -> Iterator[Array]:
        for block in blocks:
            self._samples += len(block)
            self._check_length(self._samples / self._engine.sample_rate)
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

    def _cut(self, blocks: Iterator[Array]) -> Iterator[list[Utterance]]:
        begin: list[Array] = []
        for block in blocks:
            begin.append(block)
            if self._samples > _WHOLE_SECONDS * self._engine.sample_rate:
                break
        else:
            yield [Utterance(0, np.concatenate(begin))]
            return
        cutter = PauseCutter(self._engine.detector())
        for block in itertools.chain(begin, blocks):
            yield cutter.feed(block)
        yield cutter.finish()


def _later(segment: Segment, seconds: float) -> Segment:
    return Segment(
        tuple(
            replace(word, start=word.start + seconds, end=word.end + seconds)
            for word in segment.words
        )
    )
