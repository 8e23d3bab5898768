"""Places where a text surely agrees with what greedy decoding has written.

An anchor is a string of characters that both have, once each, and in the same order as the other
anchors. An alignment is cut there, so that its time and memory grow with the length of a recording
and not with its square.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Symbols = npt.NDArray[np.int32]
_Hashes = npt.NDArray[np.uint64]

_LENGTH = 16  # symbols, of an anchor; English has about 15 a second
_SURE = 28  # symbols, of an anchor that needs no other beside it
_NEAR = 300  # symbols, to the other anchor
_DRIFT = 0.15  # of the distance to it, by which the two distances may differ
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def anchors(heard: Symbols, written: Symbols) -> list[tuple[int, int, int]]:
    """Return the anchors of two strings: where they begin in each, and their length; ascending."""
    pairs = _increasing(_unique_pairs(heard, written))
    runs = _runs(pairs)
    return [run for run, near in zip(runs, _supported(runs), strict=True) if near]


def _unique_pairs(heard: Symbols, written: Symbols) -> list[tuple[int, int]]:
    """Return the places of strings of `_LENGTH` that are there once in both, in order."""
    mine, theirs = _hashes(heard), _hashes(written)
    mine, at_mine = _once(mine)
    theirs, at_theirs = _once(theirs)
    _, left, right = np.intersect1d(mine, theirs, assume_unique=True, return_indices=True)
    found = sorted(zip(at_mine[left].tolist(), at_theirs[right].tolist(), strict=True))
    return [
        (i, j) for i, j in found if np.array_equal(heard[i : i + _LENGTH], written[j : j + _LENGTH])
    ]


def _hashes(symbols: Symbols) -> _Hashes:
    """Return a number for each string of `_LENGTH`, equal for equal ones (Karp and Rabin)."""
    count = max(0, len(symbols) - _LENGTH + 1)
    values = symbols.astype(np.uint64)
    sums = np.zeros(count, np.uint64)
    for offset in range(_LENGTH):
        sums = sums * _FACTOR + values[offset : offset + count]
    return sums


def _once(hashes: _Hashes) -> tuple[_Hashes, npt.NDArray[np.intp]]:
    """Return the numbers that are there once, and where."""
    values, places, counts = np.unique(hashes, return_index=True, return_counts=True)
    return values[counts == 1], places[counts == 1]


def _increasing(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the most of ``pairs``, ascending in the first, that ascend in the second too.

    The longest increasing subsequence (Fredman, Discrete Mathematics 11, 1975).
    """
    tails: list[int] = []  # the least second of a sequence of each length
    last: list[int] = []  # the pair it ends with
    before: list[int] = []
    for number, (_, second) in enumerate(pairs):
        length = bisect_left(tails, second)
        before.append(last[length - 1] if length else -1)
        tails[length : length + 1] = [second]
        last[length : length + 1] = [number]
    chain = []
    number = last[-1] if last else -1
    while number >= 0:
        chain.append(pairs[number])
        number = before[number]
    return chain[::-1]


def _runs(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Return ``pairs`` that overlap, by the same distance in both, as longer strings."""
    runs: list[tuple[int, int, int]] = []
    for i, j in pairs:
        if runs:
            begun, there, length = runs[-1]
            if i - begun == j - there and i <= begun + length:
                runs[-1] = begun, there, i - begun + _LENGTH
                continue
        runs.append((i, j, _LENGTH))
    return runs


def _supported(runs: Sequence[tuple[int, int, int]]) -> list[bool]:
    """Return whether each is long, or at about the same distance in both from a neighbour."""
    near = [length >= _SURE for *_, length in runs]
    for number in range(1, len(runs)):
        (i, j, _), (k, m, _) = runs[number - 1], runs[number]
        if k - i <= _NEAR and abs((k - i) - (m - j)) <= _DRIFT * (k - i) + 2:
            near[number - 1] = near[number] = True
    return near
