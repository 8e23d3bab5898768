"""Transcripts in the formats of OpenAI's interface."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from typing import Any, Literal

from fastapi.responses import JSONResponse, PlainTextResponse, Response

from plainspeech.runtime.long_audio import TranscriptPart
from plainspeech.transcript import Segment, Transcript, Word
from plainspeech.writers import render, word_values

ResponseFormat = Literal["json", "text", "srt", "vtt", "verbose_json"]
Granularity = Literal["word", "segment"]

_SEEK = 100  # of OpenAI's frames a second
_LEAST = 1e-10  # confidence, since the logarithm of 0 is not finite


def plain(transcript: Transcript, form: ResponseFormat) -> Response:
    """Return ``transcript`` in one of the formats without times of words."""
    if form == "json":
        return JSONResponse({"text": transcript.text})
    if form == "text":
        return PlainTextResponse(transcript.text + "\n")
    kind = "text/vtt" if form == "vtt" else "application/x-subrip"
    return Response(render(transcript, form), media_type=f"{kind}; charset=utf-8")


def verbose(
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
    }
    if "word" in granularities:
        values["words"] = [_word(word) for word in transcript.words]
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

    The model has no tokens but letters, so that the list is empty, and segments are where speech
    was detected, so that ``no_speech_prob`` is 0.
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
        "no_speech_prob": 0.0,
    }


def delta(segment: Segment, part: TranscriptPart, first: bool) -> dict[str, Any]:
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
        "words": [_word(word) for word in segment.words],
        "transcribed": round(part.end, 3),
        "duration": None if total is None else round(total, 3),
    }


def event(values: dict[str, Any]) -> str:
    """Return ``values`` as a server-sent event (WHATWG HTML, section 9.2)."""
    return f"data: {json.dumps(values, ensure_ascii=False)}\n\n"
