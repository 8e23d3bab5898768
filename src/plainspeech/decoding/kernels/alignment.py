"""Which frames wrote which character: the Viterbi alignment of a known text."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from plainspeech.decoding.kernels.jit import kernel
from plainspeech.decoding.kernels.records import Doubles, Floats, Ints, Setup

BAND = 64
"""Characters beyond the one that could just have been written that are left out."""

_REST, _WRITE = 0, 1  # the blank after a character, and the character itself
_STAY, _FROM_WRITE, _FROM_REST_BEFORE, _FROM_WRITE_BEFORE = 0, 1, 2, 3


@kernel
def align(rows: Floats, symbols: Ints, earliest: Ints, setup: Setup) -> tuple[Ints, Ints, Doubles]:
    """Find the most probable alignment of ``symbols``.

    As in the search, frames beyond ``setup.skip`` are blank, and a space may be written any number
    of times, also before the first and after the last word.

    Args:
        rows: ``(frames, symbols)`` log-probabilities.
        symbols: the text, no space at its ends.
        earliest: the first frame in which the search knew each character. Only characters that
            lie less than `BAND` behind are considered in a frame, which bounds time and memory.
        setup: of the search.

    Returns:
        The first frame of each character; the frame after its last; the sum of its probabilities
        in between. A text that cannot be aligned has ``earliest``, a frame each, and zeros.
    """
    kept = _frames_to_align(rows, setup)
    firsts, width = _bands(kept, earliest), min(BAND, len(symbols)) + 1
    moves = np.zeros((len(kept), width), np.uint8)
    rest = np.full(len(symbols) + 1, -math.inf)
    write = np.full(len(symbols) + 1, -math.inf)
    rest[0] = 0.0
    for step in range(len(kept)):
        row = rows[kept[step]]
        first = firsts[step]
        if step > 0:
            for place in range(firsts[step - 1], first):
                rest[place] = write[place] = -math.inf
        blank_only = row[setup.blank] >= setup.skip
        for place in range(min(first + width - 1, len(symbols)), first - 1, -1):
            moves[step, place - first] = _move(place, row, blank_only, rest, write, symbols, setup)
    return _backtrace(rows, kept, firsts, moves, rest, write, symbols, earliest)


@kernel
def _frames_to_align(rows: Floats, setup: Setup) -> Ints:
    """Return all frames but those of a run of blank ones that only repeat its first."""
    kept = np.empty(len(rows), np.int32)
    count, blanked = 0, False
    for frame in range(len(rows)):
        blank_only = rows[frame, setup.blank] >= setup.skip
        if not (blank_only and blanked):
            kept[count] = frame
            count += 1
        blanked = blank_only
    return kept[:count]


@kernel
def _bands(kept: Ints, earliest: Ints) -> Ints:
    """Return the fewest characters that may have been written by each frame."""
    firsts = np.empty(len(kept), np.int32)
    written = 0
    for step in range(len(kept)):
        while written < len(earliest) and earliest[written] <= kept[step]:
            written += 1
        firsts[step] = max(0, written - BAND)
    return firsts


@kernel
def _move(
    place: int,
    row: Floats,
    blank_only: bool,
    rest: Doubles,
    write: Doubles,
    symbols: Ints,
    setup: Setup,
) -> int:
    """Let one frame pass for the first ``place`` characters; return where their scores are from.

    ``rest`` and ``write`` have the scores of the best alignments that end in the blank and in the
    last character.
    """
    at_rest = row[setup.blank]
    between_words = place == 0 or place == len(symbols) or symbols[place - 1] == setup.space
    if between_words and setup.space >= 0 and not blank_only:
        at_rest = max(at_rest, row[setup.space])
    rest_from, rested = _STAY, rest[place]
    if write[place] > rested:
        rest_from, rested = _FROM_WRITE, write[place]
    rest[place] = rested + at_rest
    write_from, written = _STAY, write[place]
    if place > 0:
        if rest[place - 1] > written:
            write_from, written = _FROM_REST_BEFORE, rest[place - 1]
        repeats = place > 1 and symbols[place - 1] == symbols[place - 2]
        if write[place - 1] > written and not repeats:
            write_from, written = _FROM_WRITE_BEFORE, write[place - 1]
        write[place] = -math.inf if blank_only else written + row[symbols[place - 1]]
    return rest_from + 2 * write_from


@kernel
def _backtrace(
    rows: Floats,
    kept: Ints,
    firsts: Ints,
    moves: npt.NDArray[np.uint8],
    rest: Doubles,
    write: Doubles,
    symbols: Ints,
    earliest: Ints,
) -> tuple[Ints, Ints, Doubles]:
    starts, ends, sums = earliest.copy(), earliest + np.int32(1), np.zeros(len(symbols))
    place = len(symbols)
    writing = write[place] > rest[place]
    if max(write[place], rest[place]) == -math.inf:
        return starts, ends, sums
    for character in range(len(symbols)):
        ends[character] = 0
    for step in range(len(kept) - 1, -1, -1):
        move = moves[step, place - firsts[step]]
        if writing:
            character, frame = place - 1, kept[step]
            starts[character] = frame
            ends[character] = max(ends[character], frame + 1)
            sums[character] += math.exp(rows[frame, symbols[character]])
            move = move // 2
            writing = move in (_STAY, _FROM_WRITE_BEFORE)
            place -= move >= _FROM_REST_BEFORE
        else:
            writing = move % 2 == _FROM_WRITE
    return starts, ends, sums
