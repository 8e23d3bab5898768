"""``POST /v1/audio/transcriptions``, as OpenAI has it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Request, UploadFile
from fastapi.responses import Response, StreamingResponse

from plainspeech.runtime.long_audio import Heard
from plainspeech.serving import formats
from plainspeech.serving.engine import Engine
from plainspeech.serving.errors import ApiError
from plainspeech.serving.formats import Granularity, ResponseFormat
from plainspeech.serving.recordings import Recording

PATH = "/v1/audio/transcriptions"
ALIAS = "whisper-1"
"""A model that programs written for OpenAI ask for."""

router = APIRouter()


@router.post(PATH)
async def transcribe(
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
    temperature: Annotated[float, Form(ge=0, le=1)] = 0.0,
    stream: Annotated[bool, Form()] = False,
) -> Response:
    """Transcribe a recording."""
    engine: Engine = request.app.state.engine
    _check_model(model, engine)
    spoken = _language(language, engine)
    if granularities and response_format != "verbose_json":
        raise _invalid(
            "timestamp_granularities[] needs the response_format verbose_json.",
            "timestamp_granularities[]",
        )
    recording = Recording(engine, file.file, engine.hot_words(prompt, hot_words))
    if stream and response_format in ("json", "text"):
        return await _stream(recording)
    transcript = await recording.transcript()
    if response_format == "verbose_json":
        wanted = granularities or ["segment"]
        return formats.verbose(transcript, spoken, temperature, wanted)
    return formats.plain(transcript, response_format)


async def _stream(recording: Recording) -> Response:
    """Answer with an event a segment; what fails before the first has a status of its own."""
    stretches = recording.listen()
    first = await anext(stretches)
    return StreamingResponse(_events(first, stretches), media_type="text/event-stream")


async def _events(first: Heard, others: AsyncGenerator[Heard, None]) -> AsyncIterator[str]:
    said: list[str] = []
    async with aclosing(others):
        try:
            heard: Heard | None = first
            while heard is not None:
                for segment in heard.segments:
                    delta = f" {segment.text}" if said else segment.text
                    yield formats.event({"type": "transcript.text.delta", "delta": delta})
                    said.append(segment.text)
                heard = await anext(others, None)
        except ApiError as error:
            yield "event: error\n" + formats.event({"error": error.error})
            return
    yield formats.event({"type": "transcript.text.done", "text": " ".join(said)})


def _check_model(name: str, engine: Engine) -> None:
    if name not in (engine.name, ALIAS):
        raise ApiError(
            HTTPStatus.NOT_FOUND,
            f"There is no such model; ask for {engine.name!r} or {ALIAS!r}.",
            "model_not_found",
            "model",
        )


def _language(asked: str | None, engine: Engine) -> str:
    """Return the language of the answer: the model's, if its card tells, else what is asked for."""
    known = engine.recognizer.bundle.card.get("language")
    if known is not None and asked not in (None, known):
        raise _invalid(f"The model is of the language {known!r}, not that one.", "language")
    return str(known or asked or "unknown")


def _invalid(message: str, param: str) -> ApiError:
    return ApiError(HTTPStatus.BAD_REQUEST, message, "invalid_field", param)
