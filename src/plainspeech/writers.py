"""Transcripts as text, subtitles, tables and JSON.

Subtitles keep to broadcasters' rules: two lines of at most 42 characters, one to seven seconds, no
more than 17 characters a second where the speaker allows it, and breaks where the speaker pauses.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from plainspeech.errors import ConfigurationError, nearest
from plainspeech.transcript import Segment, Transcript, Word

LINE = 42
"""Characters; a longer word gets a line of its own."""

SHORTEST, LONGEST = 1.0, 7.0
"""Seconds: least duration of a cue where there is room, and greatest if it has several words."""

READING_SPEED = 17.0
"""Characters a second."""

_PAUSE = 1.0  # seconds; a pause that ends a cue in any case
_MOST_WORDS = 2 * LINE  # of one cue; each has a character at least


@dataclass(frozen=True)
class Cue:
    """One subtitle.

    Attributes:
        start: seconds from the start of the audio.
        end: seconds, not after the start of the next cue of the same channel.
        lines: one or two.
    """

    start: float
    end: float
    lines: tuple[str, ...]


def subtitle_cues(transcript: Transcript) -> list[Cue]:
    """Return the subtitles of ``transcript``; every word is in one of them, in order.

    Where channels were transcribed separately each has cues of its own, which begin with its label
    and can overlap those of another.
    """
    labels = dict.fromkeys(segment.label for segment in transcript.segments)
    cues = [cue for label in labels for cue in _cues(transcript, label)]
    return sorted(cues, key=lambda cue: cue.start)


def _cues(transcript: Transcript, label: str) -> list[Cue]:
    """Return the cues of the segments with ``label``."""
    segments = (segment for segment in transcript.segments if segment.label == label)
    words = [word for segment in segments for word in segment.words]
    groups = [group for run in _runs(words) for group in _parted(run, label)]
    limits = [*(group[0].start for group in groups), transcript.duration][1:]
    cues = []
    for group, limit in zip(groups, limits, strict=True):
        lines = _lines(_texts(group, label))
        assert lines is not None, "groups fit two lines"
        readable = max(SHORTEST, sum(map(len, lines)) / READING_SPEED)
        end = max(group[-1].end, min(group[0].start + readable, limit))
        cues.append(Cue(group[0].start, end, lines))
    return cues


def _runs(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    """Yield ``words`` from one long pause to the next."""
    ends = [i for i, (a, b) in enumerate(pairwise(words), start=1) if b.start - a.end >= _PAUSE]
    for start, end in pairwise([0, *ends, len(words)]):
        if start < end:
            yield words[start:end]


def _parted(words: Sequence[Word], label: str) -> list[Sequence[Word]]:
    """Return ``words`` in the groups of the least total cost, by dynamic programming."""
    best = [0.0] + [float("inf")] * len(words)  # of the first so many words
    begins = [0] * (len(words) + 1)  # of the last group of them
    for end in range(1, len(words) + 1):
        following = words[end].start if end < len(words) else None
        for start in range(end - 1, max(-1, end - 1 - _MOST_WORDS), -1):
            cost = _cost(words[start:end], following, label)
            if cost is None:
                break  # nor would more words fit
            if best[start] + cost < best[end]:
                best[end], begins[end] = best[start] + cost, start
    groups = []
    end = len(words)
    while end:
        groups.append(words[begins[end] : end])
        end = begins[end]
    return groups[::-1]


def _cost(words: Sequence[Word], following: float | None, label: str) -> float | None:
    """Return the cost of ``words`` as a cue before a word at ``following``; None if too many.

    An unwanted break costs about one unit.
    """
    start, end = words[0].start, words[-1].end
    lines = _lines(_texts(words, label))
    if lines is None or (len(words) > 1 and end - start > LONGEST):
        return None
    if following is None:
        cost, last = 1.0, float("inf")
    else:
        cost, last = 2.0 - min(following - end, _PAUSE) / _PAUSE, max(end, following)
    characters = sum(map(len, lines))
    cost += max(0.0, SHORTEST - (last - start)) * 4
    cost += max(0.0, characters / READING_SPEED - (last - start))
    cost += abs(len(lines[0]) - len(lines[-1])) / LINE if len(lines) > 1 else 0.0
    return cost


def _texts(words: Sequence[Word], label: str) -> list[str]:
    """Return the texts of ``words``, the label before the first."""
    return [f"{label}{words[0].text}", *(word.text for word in words[1:])]


def _lines(words: Sequence[str]) -> tuple[str, ...] | None:
    """Return ``words`` on one line, or on two of similar lengths; None if they do not fit."""
    whole = " ".join(words)
    if len(whole) <= LINE or len(words) == 1:
        return (whole,)
    if len(whole) > 2 * LINE + 1:
        return None
    parts = [(" ".join(words[:i]), " ".join(words[i:])) for i in range(1, len(words))]
    fitting = [part for part in parts if max(map(len, part)) <= LINE]
    return min(fitting, key=lambda part: abs(len(part[0]) - len(part[1])), default=None)


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
    return "".join(f"{segment.label}{segment.text}\n" for segment in transcript.segments)


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
    """A row per segment: milliseconds and text separated by tabs, as whisper writes it, and more.

    The confidence follows, and the channel where channels were transcribed separately.
    """
    separate = any(segment.channel for segment in transcript.segments)
    heading = ("start", "end", "text", "confidence", *(["channel"] if separate else []))
    rows = (_row(segment) for segment in transcript.segments)
    return "".join("\t".join(map(str, row)) + "\n" for row in (heading, *rows))


def _row(segment: Segment) -> tuple[object, ...]:
    channel = () if segment.channel is None else (segment.channel,)
    start, end = milliseconds(segment.start), milliseconds(segment.end)
    return start, end, segment.text, f"{segment.confidence:.4f}", *channel


def _json(transcript: Transcript) -> str:
    """Everything: segments, words, times in seconds, confidences; channels, n-best lists if any."""
    return json.dumps(transcript_values(transcript), ensure_ascii=False, indent=1) + "\n"


def transcript_values(transcript: Transcript) -> dict[str, Any]:
    """Return ``transcript`` as JSON values, those of the format ``json``."""
    segments = [_segment_values(segment) for segment in transcript.segments]
    words = [word for segment in segments for word in segment["words"]]
    return {
        "text": transcript.text,
        "duration": round(transcript.duration, 3),
        "confidence": _confidence(words),
        "segments": segments,
    }


def _textgrid(transcript: Transcript) -> str:
    """Praat's TextGrid, long form: a tier of segments and one of words, of each channel."""
    end = max(transcript.duration, 0.001, *(segment.end for segment in transcript.segments))
    tiers = []
    labels = dict.fromkeys(segment.label for segment in transcript.segments) or {"": None}
    for label in labels:
        segments = [segment for segment in transcript.segments if segment.label == label]
        words = [word for segment in segments for word in segment.words]
        tiers += [_tier(f"{label}segments", segments, end), _tier(f"{label}words", words, end)]
    numbered = (f"    item [{n}]:\n{tier}" for n, tier in enumerate(tiers, start=1))
    return (
        f'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = {end:.6f}\n'
        f"tiers? <exists>\nsize = {len(tiers)}\nitem []:\n{''.join(numbered)}"
    )


def _tier(name: str, items: Sequence[Segment | Word], end: float) -> str:
    """Return an interval tier, whose intervals have no gaps: empty ones lie between ``items``."""
    intervals: list[tuple[float, str]] = []  # their ends and texts
    time = 0.0
    for item in items:
        if item.start > time:
            intervals.append((item.start, ""))
            time = item.start
        if item.end > time:
            intervals.append((item.end, item.text))
            time = item.end
    if time < end:
        intervals.append((end, ""))
    lines = [
        '        class = "IntervalTier"',
        f'        name = "{name}"',
        "        xmin = 0",
        f"        xmax = {end:.6f}",
        f"        intervals: size = {len(intervals)}",
    ]
    begin = 0.0
    for number, (stop, text) in enumerate(intervals, start=1):
        lines += [
            f"        intervals [{number}]:",
            f"            xmin = {begin:.6f}",
            f"            xmax = {stop:.6f}",
            f'            text = "{_quoted(text)}"',
        ]
        begin = stop
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return text.replace('"', '""')


_WRITERS: Mapping[str, Callable[[Transcript], str]] = MappingProxyType(
    {"txt": _txt, "srt": _srt, "vtt": _vtt, "tsv": _tsv, "textgrid": _textgrid, "json": _json}
)

FORMATS = tuple(_WRITERS)
"""The formats of `render`, which are also the extensions of the files."""


def milliseconds(seconds: float) -> int:
    """Return ``seconds`` rounded to milliseconds."""
    return round(seconds * 1000)


def _segment_values(segment: Segment) -> dict[str, Any]:
    words = [word_values(word) for word in segment.words]
    values = {
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        **({} if segment.channel is None else {"channel": segment.channel}),
        "text": segment.text,
        "confidence": _confidence(words),
        "words": words,
    }
    if segment.n_best:
        values["n_best"] = [
            {"text": one.text, "score": round(one.score, 3)} for one in segment.n_best
        ]
    return values


def _confidence(words: Sequence[Mapping[str, Any]]) -> float:
    """Return the share of ``words`` that are probably right, from their confidences as written."""
    return round(sum(word["confidence"] for word in words) / len(words), 4) if words else 0.0


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
