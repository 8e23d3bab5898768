"""Subtitles: which words are on the screen together, on which lines, and for how long.

Broadcasters' rules: two lines of at most 42 characters, one to seven seconds, no more than 17
characters a second where the speaker allows it, and breaks where the speaker pauses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from plainspeech.transcript import Transcript, Word

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
        end: seconds, not after the next cue's start.
        lines: one or two.
    """

    start: float
    end: float
    lines: tuple[str, ...]


def subtitle_cues(transcript: Transcript) -> list[Cue]:
    """Return the subtitles of ``transcript``; every word is in one of them, in order."""
    groups = [group for run in _runs(transcript.words) for group in _parted(run)]
    limits = [*(group[0].start for group in groups), transcript.duration][1:]
    cues = []
    for group, limit in zip(groups, limits, strict=True):
        lines = _lines([word.text for word in group])
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


def _parted(words: Sequence[Word]) -> list[Sequence[Word]]:
    """Return ``words`` in the groups of the least total cost, by dynamic programming."""
    best = [0.0] + [float("inf")] * len(words)  # of the first so many words
    begins = [0] * (len(words) + 1)  # of the last group of them
    for end in range(1, len(words) + 1):
        following = words[end].start if end < len(words) else None
        for start in range(end - 1, max(-1, end - 1 - _MOST_WORDS), -1):
            cost = _cost(words[start:end], following)
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


def _cost(words: Sequence[Word], following: float | None) -> float | None:
    """Return the cost of ``words`` as a cue before a word at ``following``; None if too many.

    An unwanted break costs about one unit.
    """
    start, end = words[0].start, words[-1].end
    lines = _lines([word.text for word in words])
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
