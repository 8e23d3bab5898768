"""Which frames wrote which character: the Viterbi alignment of a known text."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from plainspeech.decoding.kernels.jit import inlined, kernel
from plainspeech.decoding.kernels.records import Doubles, Floats, Ints, SearchParameters, integer

_WIDEST = 255  # characters between the first and the last that a frame may belong to
_PRUNED = 60.0  # nats below the best place of a frame

_STAY, _FROM_WRITE, _FROM_REST_BEFORE, _FROM_WRITE_BEFORE = 0, 1, 2, 3


class Lattice(NamedTuple):
    """Scratch memory of `align`.

    Attributes:
        kept: ``(frames,)``, the frames that are aligned.
        firsts: ``(frames,)``, the first character that each may belong to.
        moves: ``(frames, characters)``, the predecessor of each place on its best alignment.
        rest: ``(characters + 1,)``, score of the best alignment of so many characters that ends
            in the blank.
        write: ``(characters + 1,)``, score of the one that ends in the last of them.
    """

    kept: Ints
    firsts: Ints
    moves: npt.NDArray[np.uint8]
    rest: Doubles
    write: Doubles


class Times(NamedTuple):
    """Times of the characters, the result of `align`.

    Attributes:
        starts: the first frame of each character.
        ends: the frame after its last.
        sums: of its probabilities in between.
    """

    starts: Ints
    ends: Ints
    sums: Doubles


def new_lattice(frames: int, characters: int) -> Lattice:
    """Return scratch memory for so many of each."""
    rest, write = np.full((2, characters + 1), -np.inf)
    return Lattice(
        kept=np.empty(frames, np.int32),
        firsts=np.empty(frames, np.int32),
        moves=np.empty((frames, min(_WIDEST, characters) + 1), np.uint8),
        rest=rest,
        write=write,
    )


@kernel
def align(
    rows: Floats, symbols: Ints, parameters: SearchParameters, lattice: Lattice, times: Times
) -> None:
    """Find the most probable alignment of ``symbols``.

    As in the search, frames whose blank is above ``blank_threshold`` are blank, and a space may be
    written any number of times, also before the first and after the last word. Time and memory
    grow with the number of frames, not with its product with the length of the text: places far
    below the best of a frame are dropped.

    Args:
        rows: ``(frames, symbols)`` log-probabilities.
        symbols: the text, no space at its ends.
        parameters: of the search.
        lattice: from `new_lattice`.
        times: zeros as sums; stays as it is where the text cannot be aligned.
    """
    rest, write = lattice.rest, lattice.write
    rest[0] = 0.0
    first, last, steps = 0, 0, _frames_to_align(rows, parameters, lattice.kept)
    for step in range(steps):
        row = rows[lattice.kept[step]]
        last = min(last + 1, len(symbols))
        if last - first > _WIDEST:
            rest[first] = write[first] = -math.inf
            first += 1
        lattice.firsts[step] = first
        best = -math.inf
        for place in range(last, first - 1, -1):
            lattice.moves[step, place - first] = _move(place, row, rest, write, symbols, parameters)
            best = max(best, rest[place], write[place])
        while first < last and max(rest[first], write[first]) < best - _PRUNED:
            rest[first] = write[first] = -math.inf
            first += 1
        while first < last and max(rest[last], write[last]) < best - _PRUNED:
            rest[last] = write[last] = -math.inf
            last -= 1
    if max(rest[len(symbols)], write[len(symbols)]) > -math.inf:
        _backtrace(rows, steps, symbols, lattice, times)


@inlined
def _frames_to_align(rows: Floats, parameters: SearchParameters, kept: Ints) -> int:
    """Keep all frames but those of a run of blank ones that only repeat its first."""
    count, blanked = 0, False
    for frame in range(len(rows)):
        blank_only = rows[frame, parameters.blank] >= parameters.blank_threshold
        if not (blank_only and blanked):
            kept[count] = frame
            count += 1
        blanked = blank_only
    return count


@inlined
def _move(
    place: int,
    row: Floats,
    rest: Doubles,
    write: Doubles,
    symbols: Ints,
    parameters: SearchParameters,
) -> int:
    """Let one frame pass for the first ``place`` characters; return where their scores are from.

    ``rest`` and ``write`` have the scores of the best alignments that end in the blank and in the
    last character.
    """
    at_rest, blank_only = row[parameters.blank], row[parameters.blank] >= parameters.blank_threshold
    between_words = place == 0 or place == len(symbols) or symbols[place - 1] == parameters.space
    if between_words and parameters.space >= 0 and not blank_only:
        at_rest = max(at_rest, row[parameters.space])
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


@inlined
def _backtrace(rows: Floats, steps: int, symbols: Ints, lattice: Lattice, times: Times) -> None:
    """Follow the moves back from the whole text."""
    place = len(symbols)
    writing = lattice.write[place] > lattice.rest[place]
    for step in range(steps - 1, -1, -1):
        move = integer(lattice.moves[step, place - lattice.firsts[step]])
        if writing:
            character, frame = place - 1, lattice.kept[step]
            if times.sums[character] == 0.0:
                times.ends[character] = frame + 1
            times.starts[character] = frame
            times.sums[character] += math.exp(rows[frame, symbols[character]])
            move = move // 2
            writing = move in (_STAY, _FROM_WRITE_BEFORE)
            place -= move >= _FROM_REST_BEFORE
        else:
            writing = move % 2 == _FROM_WRITE
