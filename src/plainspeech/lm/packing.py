"""A model in few bytes: about two for an n-gram.

The n-grams are sorted, so that a context is stored once, as the number of its n-grams, and a word
as the difference from the one before it. Logarithms are rounded to `QUANTUM`. All numbers are cut
into bytes, the first bytes of all of them, then the second, and deflated.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from plainspeech.errors import LanguageModelError
from plainspeech.jit_cache import compiled
from plainspeech.lm.tables import Floats, Ints, Level

QUANTUM = 1 / 16
"""To a multiple of what natural logarithms are rounded; the error is at most half of it."""

_WIDTH = 4  # bytes of the largest number
_THREADS = 4  # that inflate arrays

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
        LanguageModelError: it is not what `pack` returned for such a model.
    """
    levels: list[Level] = []
    try:
        arrays = _read_arrays(content)
        for number in range(1, order + 1):
            levels.append(_level(arrays, number, order, vocabulary, levels))
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise LanguageModelError(f"the n-grams are damaged: {error}") from error
    return levels


def _read_arrays(content: bytes) -> dict[str, Ints]:
    """Return the numbers of each array of an .npz file."""

    def inflate(member: str) -> bytes:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.read(member)

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.namelist()
    # Inflating takes a good part of the time that loading takes, and lets other threads run.
    # Headers are read by one: in Python 3.11 threads that parse at the same time fail at times
    # (python/cpython issue 106905).
    with ThreadPoolExecutor(_THREADS) as pool:
        files = zip(members, pool.map(inflate, members), strict=True)
        # The first call of compiled code takes a tenth of a second, whatever it computes.
        _summed(np.zeros(0, np.int32), np.zeros(0, np.int32))
        return {name.removesuffix(".npy"): _values(_array(file)) for name, file in files}


def _array(file: bytes) -> Bytes:
    array: Bytes = np.lib.format.read_array(io.BytesIO(file))
    return array


def _level(
    arrays: dict[str, Ints], number: int, order: int, vocabulary: int, levels: Sequence[Level]
) -> Level:
    """Take the level of n-grams of ``number`` words out of ``arrays``, which are large."""
    probabilities = _logarithms(arrays.pop(f"{number}.probabilities"))
    backoffs = np.zeros(len(probabilities), np.float32)
    if number < order:
        steps = arrays.pop(f"{number}.backoffs")
        backoffs = _logarithms((steps >> 1) ^ -(steps & 1))
    contexts, words = np.zeros(vocabulary, np.int32), np.arange(vocabulary, dtype=np.int32)
    if number > 1:
        gaps, children = arrays.pop(f"{number}.words"), arrays.pop(f"{number}.children")
        if len(children) != len(levels[-1].words):
            raise ValueError(f"another number of contexts than n-grams for {number} words")
        if (children < 0).any() or children.sum(dtype=np.int64) != len(gaps):
            raise ValueError("there are more words than contexts for them, or fewer")
        contexts, words = _summed(gaps, children)
    # Compiled code will take these for places in memory.
    if not len(contexts) == len(words) == len(probabilities) == len(backoffs):
        raise ValueError(f"arrays of different lengths for {number} words")
    if words.min(initial=0) < 0 or words.max(initial=0) >= vocabulary:
        raise ValueError("a word is not in the vocabulary")
    return Level(contexts, words, probabilities, backoffs)


def _quantised(logarithms: Floats) -> Numbers:
    return np.rint(logarithms.astype(np.float64) / QUANTUM).astype(np.int64)


def _logarithms(steps: Ints) -> Floats:
    """Return what `_quantised` made these of, rounded, with the other sign."""
    logarithms = steps.astype(np.float32)
    logarithms *= -QUANTUM
    return logarithms


def _gaps(level: Level) -> Numbers:
    """Return how far each word is from the one before it after the same context, else from 0."""
    first = np.diff(level.contexts, prepend=-1) != 0
    return np.where(first, level.words, np.diff(level.words, prepend=0)).astype(np.int64)


@compiled()
def _summed(gaps: Ints, children: Ints) -> tuple[Ints, Ints]:
    """Return the contexts and the words of `_gaps`."""
    contexts, words = np.empty_like(gaps), np.empty_like(gaps)
    place = 0
    for context in range(len(children)):
        word = 0
        for _ in range(children[context]):
            word += gaps[place]
            contexts[place], words[place] = context, word
            place += 1
    return contexts, words


def _planes(numbers: Numbers) -> Bytes:
    """Cut numbers, none negative, into bytes; ``(bytes, numbers)``, the lowest byte first."""
    count = (int(numbers.max(initial=0)).bit_length() + 7) // 8
    return np.array([(numbers >> 8 * plane) & 0xFF for plane in range(count)], np.uint8).reshape(
        count, len(numbers)
    )


def _values(planes: Bytes) -> Ints:
    """Return the numbers of `_planes`."""
    if planes.dtype != np.uint8 or planes.ndim != 2 or len(planes) > _WIDTH:
        raise ValueError("an array has another form")
    numbers = np.zeros((planes.shape[1], _WIDTH), np.uint8)
    numbers[:, : len(planes)] = planes.T
    return numbers.view("<i4").ravel().astype(np.int32, copy=False)
