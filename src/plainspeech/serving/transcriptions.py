"""``POST /v1/audio/transcriptions`` and its formats, compatible with OpenAI's."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, Literal

from fastapi import APIRouter, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from pydantic import BaseModel, Field, ValidationError
from pydantic.json_schema import SkipJsonSchema
from starlette.datastructures import FormData

from plainspeech.audio.channels import Channels
from plainspeech.numbers import Numbers
from plainspeech.runtime.long_audio import TranscriptPart
from plainspeech.serving.api_errors import ApiError, our_failure
from plainspeech.serving.engine import Engine
from plainspeech.serving.events import HEADERS, MEDIA_TYPE, event
from plainspeech.serving.recordings import FormRequest, UploadedRecording
from plainspeech.serving.request_log import LOGGER
from plainspeech.transcript import Segment, Transcript, Word
from plainspeech.writers import render, word_values

PATH = "/v1/audio/transcriptions"
ALIAS = "whisper-1"
"""The model name that programs written for OpenAI send."""

router = APIRouter()


ResponseFormat = Literal["json", "text", "srt", "vtt", "verbose_json"]
Granularity = Literal["word", "segment"]
_SEEK = 100  # of OpenAI's frames a second
_LEAST = 1e-10  # confidence, since the logarithm of 0 is not finite


class TranscriptionForm(BaseModel):
    """The fields of a request."""

    file: UploadFile
    model: str
    language: str | None = None
    prompt: str = ""
    hot_words: str = ""
    response_format: ResponseFormat = "json"
    granularities: list[Granularity] = Field([], alias="timestamp_granularities[]")
    plain_granularities: SkipJsonSchema[list[Granularity]] = Field(
        [], alias="timestamp_granularities"
    )
    temperature: float = Field(0.0, ge=0, le=1)
    stream: bool = False
    channels: Channels = "mixed"
    numbers: Numbers = "words"

    @classmethod
    def read(cls, form: FormData) -> TranscriptionForm:
        """Return the fields of ``form``, of which empty ones count as missing.

        FastAPI would do this too, and take a tenth of the time of a short recording for it.

        Raises:
            RequestValidationError: one is missing or not valid.
        """
        values: dict[str, Any] = {}
        for name, value in form.multi_items():
            if value == "":
                continue
            if name in _LISTS:
                values.setdefault(name, []).append(value)
            else:
                values[name] = value
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            found = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
            raise RequestValidationError(found) from error


_LISTS = ("timestamp_granularities[]", "timestamp_granularities")
_SCHEMA = {
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": TranscriptionForm.model_json_schema()}},
    }
}


@router.post(PATH, openapi_extra=_SCHEMA)
async def create_transcription(request: Request) -> Response:
    """Transcribe a recording."""
    engine: Engine = request.app.state.engine
    form = await FormRequest(request.scope, request.receive).form()
    try:
        return await _respond(engine, TranscriptionForm.read(form))
    except BaseException:
        await form.close()
        raise


async def _respond(engine: Engine, form: TranscriptionForm) -> Response:
    check_model(form.model, engine)
    spoken = _language(form.language, engine)
    wanted = [*form.granularities, *form.plain_granularities]
    if wanted and form.response_format != "verbose_json":
        raise _invalid(
            "timestamp_granularities[] needs the response_format verbose_json.",
            "timestamp_granularities[]",
        )
    if form.stream and form.response_format not in ("json", "text"):
        raise _invalid("stream needs the response_format json or text.", "stream")
    if form.numbers == "digits":
        engine.check_digits()
    words = engine.hot_words(form.prompt, form.hot_words)
    file, name = form.file.file, form.file.filename or ""
    recording = UploadedRecording(engine, file, name, words, form.channels, form.numbers)
    if form.stream:
        return await _stream(recording)
    if form.response_format == "verbose_json":
        return await recording.transcribed(
            lambda found: _verbose(found, spoken, form.temperature, wanted or ["segment"])
        )
    return await recording.transcribed(lambda found: _plain(found, form.response_format))


async def _stream(recording: UploadedRecording) -> Response:
    """Respond with an event per segment; an error before the first has its own status."""
    parts = recording.parts()
    first = await anext(parts)
    return StreamingResponse(_events(first, parts), headers=HEADERS, media_type=MEDIA_TYPE)


async def _events(
    first: TranscriptPart, others: AsyncGenerator[TranscriptPart, None]
) -> AsyncIterator[str]:
    texts: list[str] = []
    duration = 0.0
    async with aclosing(others):
        try:
            part: TranscriptPart | None = first
            while part is not None:
                for segment in part.segments:
                    yield event(_delta(segment, part, first=not texts))
                    texts.append(segment.text)
                duration = part.end
                part = await anext(others, None)
        except ApiError as error:
            yield error.event
            return
        except Exception:
            LOGGER.exception("Exception in a stream of events")
            yield our_failure().event  # a stream that was cut off would look like a lost connection
            return
    done = {"type": "transcript.text.done", "text": " ".join(texts)}
    yield event(done | {"duration": round(duration, 3)})


def check_model(name: str, engine: Engine) -> None:
    """Check that requests may call the model so.

    Raises:
        ApiError: 404: it has another name.
    """
    if name not in (engine.name, ALIAS):
        raise ApiError(
            HTTPStatus.NOT_FOUND,
            f"There is no such model; the name must be {engine.name!r} or {ALIAS!r}.",
            "model_not_found",
            "model",
        )


def _language(asked: str | None, engine: Engine) -> str:
    """Return the language of the response: the model's by its card, else the one asked for."""
    known = engine.recognizer.bundle.card.get("language")
    if not asked or not asked.strip():
        return str(known or "unknown")
    if known is not None and _base(asked) != _base(str(known)):
        message = f"The language of the model is {known!r}; send that or no language."
        raise _invalid(message, "language")
    return str(known or asked)


def _base(language: str) -> str:
    """Return the language of a tag without region and script: ``en`` of ``en-US``."""
    return re.split("[-_]", language.strip().lower())[0]


def _invalid(message: str, param: str) -> ApiError:
    return ApiError(HTTPStatus.BAD_REQUEST, message, "invalid_field", param)


def _plain(transcript: Transcript, form: ResponseFormat) -> Response:
    """Return ``transcript`` in one of the formats without times of words."""
    if form == "json":
        return JSONResponse({"text": transcript.text})
    if form == "text":
        lines = [segment.label + segment.text for segment in transcript.segments]
        separate = any(segment.label for segment in transcript.segments)
        return PlainTextResponse(("\n" if separate else " ").join(lines) + "\n")
    kind = "text/vtt" if form == "vtt" else "application/x-subrip"
    return Response(render(transcript, form), media_type=f"{kind}; charset=utf-8")


def _verbose(
    transcript: Transcript, language: str, temperature: float, granularities: Sequence[Granularity]
) -> JSONResponse:
    """Return ``transcript`` with the times of its segments, its words, or both.

    Args:
        transcript: with times in seconds.
        language: of the text.
        temperature: of the request, which the segments repeat.
        granularities: of the times.
    """
    values: dict[str, Any] = {
        "task": "transcribe",
        "language": language,
        "duration": round(transcript.duration, 3),
        "text": transcript.text,
        "confidence": round(transcript.confidence, 4),
        "no_speech_prob": min(map(_no_speech, transcript.segments), default=1.0),
    }
    if "word" in granularities:
        values["words"] = [
            _word(word) | _channel(segment)
            for segment in transcript.segments
            for word in segment.words
        ]
    if "segment" in granularities:
        values["segments"] = [
            _segment(number, segment, temperature)
            for number, segment in enumerate(transcript.segments)
        ]
    return JSONResponse(values)


def _word(word: Word) -> dict[str, Any]:
    values = word_values(word)  # with a confidence, which OpenAI's words do not have
    return {"word": values.pop("text"), **values}


def _segment(number: int, segment: Segment, temperature: float) -> dict[str, Any]:
    """Return all the fields of whisper's segments, which clients read.

    The model has no tokens but letters, so that the list is empty.
    """
    logs = [math.log(max(word.confidence, _LEAST)) for word in segment.words]
    text = segment.text.encode()
    return {
        "id": number,
        "seek": round(segment.start * _SEEK),
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "text": segment.text,
        "tokens": [],
        "temperature": temperature,
        "avg_logprob": round(sum(logs) / len(logs), 4),
        "compression_ratio": round(len(text) / len(zlib.compress(text)), 4),
        "no_speech_prob": _no_speech(segment),
        "confidence": round(segment.confidence, 4),
        **_channel(segment),
    }


def _no_speech(segment: Segment) -> float:
    """Return how probable it is by the voice detector that nobody spoke."""
    return round(1 - segment.speech_probability, 4)


def _channel(segment: Segment) -> dict[str, int]:
    """Return the channel of ``segment``, where channels were transcribed separately."""
    return {} if segment.channel is None else {"channel": segment.channel}


def _delta(segment: Segment, part: TranscriptPart, first: bool) -> dict[str, Any]:
    """Return the event of a segment of a stream: OpenAI's, with times, words and the progress.

    Args:
        segment: with times from the start of the recording.
        part: that it belongs to.
        first: whether it is the first of the recording.
    """
    total = part.declared_duration
    return {
        "type": "transcript.text.delta",
        "delta": segment.text if first else f" {segment.text}",
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "confidence": round(segment.confidence, 4),
        **_channel(segment),
        "words": [_word(word) for word in segment.words],
        "transcribed": round(part.end, 3),
        "duration": None if total is None else round(total, 3),
    }
