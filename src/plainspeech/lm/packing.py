"""Compression of a model to about two bytes per n-gram.

The n-grams are sorted, so that a context is stored once, as the number of its n-grams, and a word
as the difference from the one before it. Logarithms are rounded to `QUANTUM`. All numbers are split
into planes, the first bytes of all of them, then the second, and deflated.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from plainspeech.compiling.lazy import compiled
from plainspeech.errors import LanguageModelError
from plainspeech.lm.tables import LARGEST_BACKOFF_LOG, LARGEST_ORDER, LEAST_LOG, Floats, Ints, Level

QUANTUM = 1 / 16
"""Step to which natural logarithms are rounded; the error is at most half of it."""

_WIDTH = 4  # bytes of the largest number
_THREADS = 4  # that inflate arrays
_FREE, _LARGEST_RATIO = 1 << 24, 50  # bytes, and times the size on disk; usual is 3
_ZIP_ERRORS = zipfile.BadZipFile, zlib.error, struct.error

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
        if not 1 <= order <= LARGEST_ORDER:
            raise ValueError(f"the order is {str(order)[:20]}; it must be 1 to {LARGEST_ORDER}")
        arrays = _read_arrays(content)
        for number in range(1, order + 1):
            levels.append(_level(arrays, number, order, vocabulary, levels))
    except KeyError as error:
        raise LanguageModelError(f"the n-grams are damaged: {error} is missing") from error
    # What zipfile and the reader of headers raise for damaged files.
    except (ValueError, OSError, EOFError, RuntimeError, *_ZIP_ERRORS) as error:
        raise LanguageModelError(f"the n-grams are damaged: {str(error)[:200]}") from error
    return levels


def _read_arrays(content: bytes) -> dict[str, Ints]:
    """Return the numbers of each array of an .npz file."""

    def inflate(member: zipfile.ZipInfo) -> bytes:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open(member) as file:
            return file.read(member.file_size)

    limit = _FREE + _LARGEST_RATIO * len(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
    _check_members(members, limit)
    # Inflating takes a good part of the time that loading takes, and lets other threads run.
    # Headers are read by one: in Python 3.11 threads that parse at the same time fail at times
    # (python/cpython issue 106905).
    arrays: dict[str, Ints] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        files = zip(members, pool.map(inflate, members), strict=True)
        # The first call of compiled code takes a tenth of a second, whatever it computes.
        _summed(np.zeros(0, np.int32), np.zeros(0, np.int32))
        for member, file in files:
            planes = _array(file, limit)
            limit -= planes.shape[1]
            arrays[member.filename.removesuffix(".npy")] = _values(planes)
    return arrays


def _check_members(members: Sequence[zipfile.ZipInfo], limit: int) -> None:
    """Raise ValueError before anything of a file is inflated that is not as `pack` makes them."""
    if len(members) > 4 * LARGEST_ORDER:
        raise ValueError(f"{len(members)} arrays are too many")
    if sum(member.file_size for member in members) > limit:
        raise ValueError("the arrays are larger than a model of this size on disk can be")
    for member in members:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"an array is compressed by method {member.compress_type}")
        if member.flag_bits & 1:
            raise ValueError("an array is encrypted")


def _array(file: bytes, limit: int) -> Bytes:
    """Return the array of an .npy file, which has at most ``limit`` numbers."""
    stream = io.BytesIO(file)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("an array has an unknown version")
    try:
        shape, by_columns, kind = np.lib.format.read_array_header_1_0(stream)
    except Exception as error:  # of whatever kind from the parser of Python's literals
        raise ValueError("the header of an array is damaged") from error
    if kind != np.uint8 or len(shape) != 2 or by_columns or shape[0] > _WIDTH:
        raise ValueError("an array has an unexpected type or shape")
    if shape[0] * shape[1] != len(file) - stream.tell() or shape[1] > limit:
        raise ValueError("the size of an array differs from its header")
    return np.frombuffer(file, np.uint8, offset=stream.tell()).reshape(shape)


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
            raise ValueError(f"the number of contexts of the n-grams of {number} words is wrong")
        if (children < 0).any() or children.sum(dtype=np.int64) != len(gaps):
            raise ValueError("the number of words differs from the sum of those of the contexts")
        contexts, words = _summed(gaps, children)
    # Compiled code will take these for places in memory.
    if not len(contexts) == len(words) == len(probabilities) == len(backoffs):
        raise ValueError(f"arrays of different lengths for {number} words")
    for logs, most in ((probabilities, 0.0), (backoffs, LARGEST_BACKOFF_LOG)):
        if logs.min(initial=0) < LEAST_LOG or logs.max(initial=0) > most:
            raise ValueError(f"a logarithm is not from {LEAST_LOG:g} to {most:g}")
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
    """Split numbers, none negative, into bytes; ``(bytes, numbers)``, the lowest byte first."""
    count = (int(numbers.max(initial=0)).bit_length() + 7) // 8
    return np.array([(numbers >> 8 * plane) & 0xFF for plane in range(count)], np.uint8).reshape(
        count, len(numbers)
    )


def _values(planes: Bytes) -> Ints:
    """Return the numbers of `_planes`."""
    numbers = np.zeros(planes.shape[1], np.int32)
    for place, plane in enumerate(planes):
        numbers |= plane.astype(np.int32) << np.int32(8 * place)
    return numbers
