"""Joins the words of two chunks of audio that overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from plainspeech.transcript import Word

_TOLERANCE = 0.25  # seconds between the times at which two chunks have the same word


def joined(
    left: Sequence[Word], right: Sequence[Word], start: float, end: float
) -> tuple[tuple[Word, ...], tuple[Word, ...]]:
    """Return the words to keep of each of two chunks, so that no word is there twice.

    They are joined at a word that both have in the overlap, the one nearest to its middle, since
    words at the edges are cut. If there is none, each chunk keeps the words whose centre is on its
    side of the middle.

    Args:
        left: words of the earlier chunk, in order, that do not overlap.
        right: words of the later chunk, likewise.
        start: seconds, of the overlap.
        end: seconds, of the overlap.
    """
    middle = (start + end) / 2
    kept, following = _seam(left, right, middle)
    left, right = left[:kept], right[following:]
    while left and right and left[-1].start >= right[0].start:
        left = left[:-1]
    if left and right and left[-1].end > right[0].start:
        left = [*left[:-1], replace(left[-1], end=right[0].start)]
    return tuple(left), tuple(right)


def _seam(left: Sequence[Word], right: Sequence[Word], middle: float) -> tuple[int, int]:
    """Return how many words of ``left`` to keep, and the first of ``right`` to keep."""
    agreed = [
        (abs(_centre(mine) - middle), kept, following)
        for kept, mine in enumerate(left, start=1)
        for following, theirs in enumerate(right, start=1)
        if mine.text == theirs.text and abs(mine.start - theirs.start) <= _TOLERANCE
    ]
    if agreed:
        return min(agreed)[1:]
    return (
        sum(_centre(word) < middle for word in left),
        sum(_centre(word) < middle for word in right),
    )


def _centre(word: Word) -> float:
    return (word.start + word.end) / 2
