"""A model in few bytes: about two for an n-gram.

The n-grams are sorted, so that a context is told once, by how many n-grams it has, and a word by
how far it is from the one before it. Logarithms are rounded to `QUANTUM`. All numbers are cut into
bytes, the first bytes of all of them, then the second, and deflated.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from plainspeech.errors import PlainspeechError
from plainspeech.lm.tables import Floats, Level

QUANTUM = 1 / 16
"""To a multiple of what natural logarithms are rounded; the error is at most half of it."""

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]


def pack(levels: Sequence[Level]) -> bytes:
    """Return the content of an .npz file of ``levels``."""
    arrays: dict[str, Any] = {}  # of Bytes; savez_compressed has a flag among its arrays
    for order, level in enumerate(levels, start=1):
        arrays[f"{order}.probabilities"] = _planes(_quantised(-level.probabilities))
        if order > 1:
            children = np.bincount(level.contexts, minlength=len(levels[order - 2].words))
            arrays[f"{order}.children"] = _planes(children)
            arrays[f"{order}.words"] = _planes(_gaps(level))
        if order < len(levels):
            # Almost all are negative; the sign becomes the lowest bit.
            steps = _quantised(-level.backoffs)
            arrays[f"{order}.backoffs"] = _planes((steps << 1) ^ (steps >> 63))
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def unpack(content: bytes, vocabulary: int, order: int) -> list[Level]:
    """Return the levels that were packed.

    Args:
        content: what `pack` gave.
        vocabulary: how many words there are.
        order: how many levels.

    Raises:
        PlainspeechError: it is not what `pack` gave for such a model.
    """
    levels: list[Level] = []
    try:
        with np.load(io.BytesIO(content)) as arrays:
            for number in range(1, order + 1):
                levels.append(_level(arrays, number, order, vocabulary, levels))
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise PlainspeechError(f"the n-grams are damaged: {error}") from error
    return levels


def _level(
    arrays: Mapping[str, Bytes], number: int, order: int, vocabulary: int, levels: Sequence[Level]
) -> Level:
    """Return the level of n-grams of ``number`` words."""
    probabilities = -_values(arrays[f"{number}.probabilities"]) * QUANTUM
    steps = np.zeros(len(probabilities), np.int64)
    if number < order:
        steps = _values(arrays[f"{number}.backoffs"])
    contexts, words = np.zeros(vocabulary, np.int64), np.arange(vocabulary)
    if number > 1:
        children = _values(arrays[f"{number}.children"])
        words = _words(_values(arrays[f"{number}.words"]), children)
        contexts = np.repeat(np.arange(len(levels[-1].words)), children)
    # Compiled code will take these for places in memory.
    if not len(contexts) == len(words) == len(probabilities) == len(steps):
        raise ValueError(f"arrays of different lengths for {number} words")
    if words.max(initial=0) >= vocabulary:
        raise ValueError("a word is not in the vocabulary")
    return Level(
        contexts=contexts.astype(np.int32),
        words=words.astype(np.int32),
        probabilities=probabilities.astype(np.float32),
        backoffs=(-((steps >> 1) ^ -(steps & 1)) * QUANTUM).astype(np.float32),
    )


def _quantised(logarithms: Floats) -> Numbers:
    return np.rint(logarithms.astype(np.float64) / QUANTUM).astype(np.int64)


def _gaps(level: Level) -> Numbers:
    """Return how far each word is from the one before it after the same context, else from 0."""
    first = np.diff(level.contexts, prepend=-1) != 0
    return np.where(first, level.words, np.diff(level.words, prepend=0)).astype(np.int64)


def _words(gaps: Numbers, children: Numbers) -> Numbers:
    """Return the words of `_gaps`."""
    if children.sum() != len(gaps):
        raise ValueError("there are more words than contexts for them, or fewer")
    sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(gaps)])
    starts = np.cumsum(children) - children
    words: Numbers = sums[1:] - np.repeat(sums[starts], children)
    return words


def _planes(numbers: Numbers) -> Bytes:
    """Cut numbers, none negative, into bytes; ``(bytes, numbers)``, the lowest byte first."""
    count = (int(numbers.max(initial=0)).bit_length() + 7) // 8
    return np.array([(numbers >> 8 * plane) & 0xFF for plane in range(count)], np.uint8).reshape(
        count, len(numbers)
    )


def _values(planes: Bytes) -> Numbers:
    """Return the numbers of `_planes`."""
    if planes.dtype != np.uint8 or planes.ndim != 2:
        raise ValueError("an array has another form")
    numbers = np.zeros(planes.shape[1], np.int64)
    for plane, byte in enumerate(planes[:4]):
        numbers |= byte.astype(np.int64) << 8 * plane
    return numbers
