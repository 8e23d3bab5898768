"""Uploaded recordings: spooled to the disk, and transcribed through the request queue.

Forms and recordings of any length take bounded memory.
"""

from __future__ import annotations

import asyncio
import codecs
import io
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import aclosing, closing, contextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import Any, BinaryIO, TypeVar, cast

import anyio
from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from plainspeech import audio
from plainspeech.arrays import Array
from plainspeech.audio.channels import Channels
from plainspeech.decoding.hot_words import HotWords
from plainspeech.errors import PlainspeechError
from plainspeech.numbers import Numbers, in_digits
from plainspeech.runtime.long_audio import TranscriptPart, join_parts, transcribe_sections
from plainspeech.serving.api_errors import ApiError, api_error
from plainspeech.serving.batching import Lane
from plainspeech.serving.engine import Engine
from plainspeech.transcript import Transcript

_Result = TypeVar("_Result")

_FIELDS = 32
_FIELD_BYTES = 64 * 1024
_ENCODINGS = {"utf-8", "ascii", "iso8859-1", "cp1252"}  # by Python's names
_MEMORY_BYTES = 1 << 20  # of the file; what is more goes to the disk, through other threads


_LONGEST_NAME = 80  # characters
_AHEAD = 4  # chunks of a recording that wait or are recognised while it is read on


class FormRequest(Request):
    """A request with a multipart form of one file and a few short fields.

    Other forms count as empty; whoever sends one is told that the file is missing.
    """

    async def form(self, **_: Any) -> FormData:  # type: ignore[override]  # nobody uses the context
        """Return the form.

        Raises:
            ApiError: it cannot be read, or does not keep to the limits.
        """
        if self._form is None:
            self._form = await self._parsed()
        return self._form

    async def _parsed(self) -> FormData:
        kind, options = parse_options_header(self.headers.get("content-type"))
        if kind != b"multipart/form-data":
            return FormData()
        _check_encoding(options.get(b"charset", b"utf-8"))
        try:
            async with aclosing(self.stream()) as stream:
                return await _Parser(
                    self.headers,
                    stream,
                    max_files=1,
                    max_fields=_FIELDS,
                    max_part_size=_FIELD_BYTES,
                ).parse()
        except MultiPartException as error:
            message = f"The form cannot be read: {error.message.rstrip('.')}."
            raise ApiError(HTTPStatus.BAD_REQUEST, message, "bad_request") from error
        except HTTPException:
            raise
        except OSError as error:
            raise ApiError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The server has no room to store the upload; try again later.",
                "storage_full",
                retry_after=30,
            ) from error
        except Exception as error:  # of many classes: parsers' own, of encodings, of a client gone
            message = "The form cannot be read; send it again, as multipart/form-data."
            raise ApiError(HTTPStatus.BAD_REQUEST, message, "bad_request") from error


def _check_encoding(charset: bytes) -> None:
    """Refuse encodings of forms that nobody uses: some take time with the square of the length.

    Raises:
        ApiError: it is such a one, or unknown.
    """
    try:
        known = codecs.lookup(charset.decode("latin-1")).name in _ENCODINGS
    except (LookupError, ValueError):  # the latter where it has a null character
        known = False
    if not known:
        raise ApiError(
            HTTPStatus.BAD_REQUEST,
            "The form's charset is none that is read here; send it in UTF-8.",
            "bad_request",
        )


class _Parser(MultiPartParser):
    """Accepts the part ``file`` as a file also without a file name."""

    spool_max_size = _MEMORY_BYTES

    async def parse(self) -> FormData:
        """Return the form; one that ends within a file is an error, and its file is closed."""
        form = await super().parse()
        whole = {id(item.file) for _, item in form.multi_items() if isinstance(item, UploadFile)}
        cut = [file for file in self._files_to_close_on_error if id(file) not in whole]
        for file in cut:
            file.close()
        if cut:
            await form.close()
            raise MultiPartException("it ends within the file.")
        return form

    def on_headers_finished(self) -> None:
        part = self._current_part
        _, options = parse_options_header(part.content_disposition)
        if options.get(b"name") == b"file" and b"filename" not in options:
            part.content_disposition = b'form-data; name="file"; filename="file"'
        super().on_headers_finished()


class UploadedRecording:
    """One uploaded recording.

    Args:
        engine: of the server.
        file: that can seek; it is closed at the end.
        name: of the user's file, for messages.
        hot_words: for this recording.
        channels: whether each is transcribed by itself.
        numbers: in words or in digits.
    """

    def __init__(
        self,
        engine: Engine,
        file: BinaryIO,
        name: str,
        hot_words: HotWords | None,
        channels: Channels,
        numbers: Numbers,
    ) -> None:
        self._engine = engine
        self._file = NamedFile(file, name)
        self._hot_words = hot_words
        self._separate = channels == "separate"
        self._digits = numbers == "digits"
        self._samples = 0  # read so far, of all channels that are transcribed

    async def transcribed(self, finish: Callable[[Transcript], _Result]) -> _Result:
        """Return what ``finish`` makes of the whole transcript, in the thread that reads the file.

        Subtitles of some hours take seconds, for which the loop of all requests must not wait.

        Raises:
            ApiError: the recording cannot be read, or is too long.
        """
        with self._being_read() as parts:
            # In one thread from start to end, where `parts` comes back to the loop for each.
            return await self._in_thread(lambda: finish(join_parts(parts)))

    async def parts(self) -> AsyncGenerator[TranscriptPart, None]:
        """Yield the transcript part by part, in order, as soon as each is known.

        The file is read and cut in a thread, which waits in the queue with its chunks.

        Raises:
            ApiError: as `transcribed`.
        """
        with self._being_read() as parts:
            while (part := await self._in_thread(next, parts, None)) is not None:
                yield part

    @contextmanager
    def _being_read(self) -> Iterator[Generator[TranscriptPart, None, None]]:
        """Yield the parts, for a thread; they and the file are closed at the end.

        Raises:
            ApiError: as `transcribed`.
        """
        try:
            with (
                self._engine.batcher.lane(self._hot_words) as lane,
                closing(self._file),
                closing(self._parts(lane, asyncio.get_running_loop())) as parts,
            ):
                yield parts
        except PlainspeechError as error:
            raise api_error(error) from error

    async def _in_thread(self, function: Callable[..., _Result], *arguments: object) -> _Result:
        return await anyio.to_thread.run_sync(
            function, *arguments, limiter=self._engine.reader_threads
        )

    def _parts(
        self, lane: Lane, loop: asyncio.AbstractEventLoop
    ) -> Generator[TranscriptPart, None, None]:
        def begin(waveform: Array) -> _QueuedChunk:
            return _QueuedChunk(lane, waveform, loop)

        self._engine.prepare(self._hot_words)
        rate = self._engine.sample_rate
        with audio.opened(cast("BinaryIO", self._file), rate, self._separate) as recording:
            self._check_length(recording.duration or 0.0)
            sections = map(self._bounded, recording.sections)
            detector = self._engine.detector
            with closing(transcribe_sections(sections, rate, begin, detector, _AHEAD)) as parts:
                for part in parts:
                    segments = part.segments
                    if self._digits:
                        segments = tuple(map(in_digits, segments))
                    yield replace(part, segments=segments, declared_duration=recording.duration)

    def _bounded(self, blocks: Iterator[Array]) -> Iterator[Array]:
        """Yield ``blocks`` up to the longest duration, and only while the request lasts."""
        for block in self._engine.metrics.timed("read", blocks):
            anyio.from_thread.check_cancelled()
            self._samples += block.size
            self._check_length(self._samples / self._engine.sample_rate)
            yield block

    def _check_length(self, seconds: float) -> None:
        most = self._engine.settings.audio_seconds
        if seconds > most:
            raise ApiError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The recording is longer than {most / 60:g} minutes"
                f"{', its channels together' if self._separate else ''}; send it in parts.",
                "audio_too_long",
                "file",
            )


class _QueuedChunk:
    """A chunk of a recording in the queue; for the thread that reads the recording."""

    def __init__(self, lane: Lane, waveform: Array, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._task: asyncio.Future[Transcript]

        def begin() -> None:
            self._task = asyncio.ensure_future(lane.transcribe(waveform))

        loop.call_soon_threadsafe(begin)  # before whatever this thread runs in the loop later

    def result(self) -> Transcript:
        """Return its transcript, or end with the request."""
        return anyio.from_thread.run(self._done)

    async def _done(self) -> Transcript:
        return await self._task

    def cancel(self) -> None:
        """Take it out of the queue, from any thread: a stream that ends early ends in the loop."""
        self._loop.call_soon_threadsafe(self._give_up)

    def _give_up(self) -> None:
        if not self._task.cancel() and not self._task.cancelled():
            self._task.exception()  # mark it as retrieved; it is not needed


class NamedFile(io.BufferedIOBase):
    """An uploaded file with the name that its user knows.

    Args:
        file: that can seek.
        name: as the client sent it; of a path the last part, and no more than a line has room for.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        last = name.replace("\\", "/").rpartition("/")[2]
        printable = "".join(filter(str.isprintable, last))
        self.name = printable[-_LONGEST_NAME:] or "file"
        self._file = file

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to ``size`` bytes."""
        return self._file.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move; return the position."""
        self._file.seek(offset, whence)
        return self._file.tell()

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file, which removes it."""
        self._file.close()
        super().close()

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can seek."""
        return True
