"""Transcripts as OpenAI's interface gives them."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from typing import Any, Literal

from fastapi.responses import JSONResponse, PlainTextResponse, Response

from plainspeech.transcript import Segment, Transcript, Word
from plainspeech.writers import render, word_values

ResponseFormat = Literal["json", "text", "srt", "vtt", "verbose_json"]
Granularity = Literal["word", "segment"]

_SEEK = 100  # of OpenAI's frames a second
_LEAST = 1e-10  # confidence; none has a finite logarithm


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
        language: that it is in.
        temperature: that the client asked for, which its segments repeat.
        granularities: what has times.
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
    values = word_values(word)  # the confidence is ours: OpenAI's words have none
    return {"word": values.pop("text"), **values}


def _segment(number: int, segment: Segment, temperature: float) -> dict[str, Any]:
    """Return all the fields that whisper's segments have; clients read them.

    There are no tokens but letters, and a segment is where voice activity is: its tokens are none
    and the probability that it is no speech is 0.
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


def event(values: dict[str, Any]) -> str:
    """Return ``values`` as a server-sent event (WHATWG HTML, section 9.2)."""
    return f"data: {json.dumps(values, ensure_ascii=False)}\n\n"
