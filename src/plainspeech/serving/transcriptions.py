"""``POST /v1/audio/transcriptions``, compatible with OpenAI's."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Request, UploadFile
from fastapi.responses import Response, StreamingResponse

from plainspeech.runtime.long_audio import TranscriptPart
from plainspeech.serving import formats
from plainspeech.serving.api_errors import ApiError
from plainspeech.serving.engine import Engine
from plainspeech.serving.formats import Granularity, ResponseFormat
from plainspeech.serving.forms import FormRoute
from plainspeech.serving.recordings import UploadedRecording

PATH = "/v1/audio/transcriptions"
ALIAS = "whisper-1"
"""The model name that programs written for OpenAI send."""

router = APIRouter(route_class=FormRoute)


@router.post(PATH)
async def create_transcription(
    request: Request,
    file: UploadFile,
    model: Annotated[str, Form()],
    language: Annotated[str | None, Form()] = None,
    prompt: Annotated[str, Form()] = "",
    hot_words: Annotated[str, Form()] = "",
    response_format: Annotated[ResponseFormat, Form()] = "json",
    granularities: Annotated[
        list[Granularity] | None, Form(alias="timestamp_granularities[]")
    ] = None,
    plain_granularities: Annotated[
        list[Granularity] | None, Form(alias="timestamp_granularities", include_in_schema=False)
    ] = None,
    temperature: Annotated[float, Form(ge=0, le=1)] = 0.0,
    stream: Annotated[bool, Form()] = False,
) -> Response:
    """Transcribe a recording."""
    engine: Engine = request.app.state.engine
    _check_model(model, engine)
    spoken = _language(language, engine)
    wanted = [*(granularities or []), *(plain_granularities or [])]
    if wanted and response_format != "verbose_json":
        raise _invalid(
            "timestamp_granularities[] needs the response_format verbose_json.",
            "timestamp_granularities[]",
        )
    if stream and response_format not in ("json", "text"):
        raise _invalid("stream needs the response_format json or text.", "stream")
    words = engine.hot_words(prompt, hot_words)
    recording = UploadedRecording(engine, file.file, file.filename or "", words)
    if stream:
        return await _stream(recording)
    transcript = await recording.transcript()
    if response_format == "verbose_json":
        return formats.verbose(transcript, spoken, temperature, wanted or ["segment"])
    return formats.plain(transcript, response_format)


async def _stream(recording: UploadedRecording) -> Response:
    """Respond with an event per segment; an error before the first has a status of its own."""
    parts = recording.parts()
    first = await anext(parts)
    return StreamingResponse(_events(first, parts), media_type="text/event-stream")


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
                    yield formats.event(formats.delta(segment, part, first=not texts))
                    texts.append(segment.text)
                duration = part.end
                part = await anext(others, None)
        except ApiError as error:
            yield "event: error\n" + formats.event({"error": error.error})
            return
    done = {"type": "transcript.text.done", "text": " ".join(texts)}
    yield formats.event(done | {"duration": round(duration, 3)})


def _check_model(name: str, engine: Engine) -> None:
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
