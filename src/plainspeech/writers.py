"""Transcripts as text, subtitles, tables and JSON."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from plainspeech.errors import ConfigurationError, nearest
from plainspeech.subtitles import Cue, subtitle_cues
from plainspeech.transcript import Segment, Transcript, Word


def render(transcript: Transcript, format: str) -> str:  # noqa: A002  # it is what users call it
    """Return ``transcript`` as the content of a file of ``format``.

    Times are written to the millisecond.

    Args:
        transcript: of any length; its segments become lines, rows or, cut to size, subtitles.
        format: one of `FORMATS`.

    Raises:
        ConfigurationError: there is no such format.
    """
    check_format(format)
    return _WRITERS[format](transcript)


def check_format(name: str) -> None:
    """Refuse a ``name`` that is not one of `FORMATS`.

    Raises:
        ConfigurationError: naming the nearest.
    """
    if name not in FORMATS:
        raise ConfigurationError(f"unknown format {name!r}; {nearest(name, FORMATS)}")


def _txt(transcript: Transcript) -> str:
    """A line per segment."""
    return "".join(f"{segment.text}\n" for segment in transcript.segments)


def _srt(transcript: Transcript) -> str:
    """SubRip: numbered cues. It has no escapes, and ``-->`` would begin another cue."""
    return "\n".join(
        f"{number}\n{_cue(cue, ',', _without_arrows)}"
        for number, cue in enumerate(subtitle_cues(transcript), start=1)
    )


def _vtt(transcript: Transcript) -> str:
    """WebVTT (W3C), without settings."""
    return "\n".join(["WEBVTT\n", *(_cue(cue, ".", _escaped) for cue in subtitle_cues(transcript))])


def _tsv(transcript: Transcript) -> str:
    """A row per segment: milliseconds and text separated by tabs, as whisper writes it."""
    rows = (
        f"{milliseconds(segment.start)}\t{milliseconds(segment.end)}\t{segment.text}\n"
        for segment in transcript.segments
    )
    return "".join(["start\tend\ttext\n", *rows])


def _json(transcript: Transcript) -> str:
    """Everything: segments, words, times in seconds, confidences, n-best lists if any."""
    values = {
        "text": transcript.text,
        "duration": round(transcript.duration, 3),
        "segments": [_segment_values(segment) for segment in transcript.segments],
    }
    return json.dumps(values, ensure_ascii=False, indent=1) + "\n"


_WRITERS: Mapping[str, Callable[[Transcript], str]] = MappingProxyType(
    {"txt": _txt, "srt": _srt, "vtt": _vtt, "tsv": _tsv, "json": _json}
)

FORMATS = tuple(_WRITERS)
"""The formats of `render`, which are also the extensions of the files."""


def milliseconds(seconds: float) -> int:
    """Return ``seconds`` rounded to milliseconds."""
    return round(seconds * 1000)


def _segment_values(segment: Segment) -> dict[str, Any]:
    values = {
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "text": segment.text,
        "words": [word_values(word) for word in segment.words],
    }
    if segment.n_best:
        values["n_best"] = [
            {"text": one.text, "score": round(one.score, 3)} for one in segment.n_best
        ]
    return values


def word_values(word: Word) -> dict[str, Any]:
    """Return a word as JSON values, as this package writes it everywhere."""
    return {
        "text": word.text,
        "start": round(word.start, 3),
        "end": round(word.end, 3),
        "confidence": round(word.confidence, 4),
    }


def _cue(cue: Cue, point: str, safe: Callable[[str], str]) -> str:
    times = f"{_clock(cue.start, point)} --> {_clock(cue.end, point)}"
    return "".join(f"{line}\n" for line in (times, *map(safe, cue.lines)))


def _clock(seconds: float, point: str) -> str:
    """Return hours, minutes, seconds, ``point``, milliseconds."""
    whole, thousandths = divmod(milliseconds(seconds), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{thousandths:03}"


def _without_arrows(text: str) -> str:
    return text.replace("-->", "->")


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)
