"""``POST /v1/audio/transcriptions``, as OpenAI has it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Literal

import anyio
from fastapi import APIRouter, Form, Request, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from plainspeech import audio
from plainspeech.errors import PlainspeechError
from plainspeech.serving.engine import Engine
from plainspeech.serving.errors import ApiError

PATH = "/v1/audio/transcriptions"

ResponseFormat = Literal["json", "text", "srt", "vtt", "verbose_json"]
Granularity = Literal["word", "segment"]

router = APIRouter()


@router.post(PATH)
async def transcribe(
    request: Request,
    file: UploadFile,
    model: Annotated[str, Form()],
    language: Annotated[str | None, Form()] = None,
    prompt: Annotated[str, Form()] = "",
    response_format: Annotated[ResponseFormat, Form()] = "json",
    temperature: Annotated[float, Form()] = 0.0,
) -> Response:
    """Transcribe a recording."""
    engine: Engine = request.app.state.engine
    try:
        waveform = await anyio.to_thread.run_sync(audio.read, file.file, engine.sample_rate)
    except PlainspeechError as error:
        raise ApiError(HTTPStatus.BAD_REQUEST, str(error), "invalid_audio", "file") from error
    with engine.batcher.lane(engine.hot_words(prompt)) as lane:
        transcript = await lane.transcribe(waveform)
    if response_format == "text":
        return PlainTextResponse(transcript.text + "\n")
    return JSONResponse({"text": transcript.text})
