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

_STAY, _FROM_CHARACTER, _FROM_BLANK_BEFORE, _FROM_CHARACTER_BEFORE = 0, 1, 2, 3


class Lattice(NamedTuple):
    """Scratch memory of `align_text`.

    Attributes:
        kept: ``(frames,)``, the frames that are aligned.
        firsts: ``(frames,)``, the first character that each may belong to.
        moves: ``(frames, characters)``, the predecessor of each place on its best alignment.
        blank: ``(characters + 1,)``, score of the best alignment of so many characters that ends
            in the blank.
        character: ``(characters + 1,)``, score of the one that ends in the last of them.
    """

    kept: Ints
    firsts: Ints
    moves: npt.NDArray[np.uint8]
    blank: Doubles
    character: Doubles


class Times(NamedTuple):
    """Times of the characters, the result of `align_text`.

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
    blank, character = np.full((2, characters + 1), -np.inf)
    return Lattice(
        kept=np.empty(frames, np.int32),
        firsts=np.empty(frames, np.int32),
        moves=np.empty((frames, min(_WIDEST, characters) + 1), np.uint8),
        blank=blank,
        character=character,
    )


@kernel
def align_text(
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
    blank, character = lattice.blank, lattice.character
    blank[0] = 0.0
    first, last, steps = 0, 0, _frames_to_align(rows, parameters, lattice.kept)
    for step in range(steps):
        row = rows[lattice.kept[step]]
        last = min(last + 1, len(symbols))
        if last - first > _WIDEST:
            blank[first] = character[first] = -math.inf
            first += 1
        lattice.firsts[step] = first
        best = -math.inf
        for place in range(last, first - 1, -1):
            lattice.moves[step, place - first] = _move(
                place, row, blank, character, symbols, parameters
            )
            best = max(best, blank[place], character[place])
        while first < last and max(blank[first], character[first]) < best - _PRUNED:
            blank[first] = character[first] = -math.inf
            first += 1
        while first < last and max(blank[last], character[last]) < best - _PRUNED:
            blank[last] = character[last] = -math.inf
            last -= 1
    if max(blank[len(symbols)], character[len(symbols)]) > -math.inf:
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
    blank: Doubles,
    character: Doubles,
    symbols: Ints,
    parameters: SearchParameters,
) -> int:
    """Let one frame pass for the first ``place`` characters; return where their scores are from.

    ``blank`` and ``character`` have the scores of the best alignments that end in the blank and in
    the last character.
    """
    blank_score = row[parameters.blank]
    blank_only = blank_score >= parameters.blank_threshold
    between_words = place == 0 or place == len(symbols) or symbols[place - 1] == parameters.space
    if between_words and parameters.space >= 0 and not blank_only:
        blank_score = max(blank_score, row[parameters.space])
    blank_from, best_blank = _STAY, blank[place]
    if character[place] > best_blank:
        blank_from, best_blank = _FROM_CHARACTER, character[place]
    blank[place] = best_blank + blank_score
    character_from, best_character = _STAY, character[place]
    if place > 0:
        if blank[place - 1] > best_character:
            character_from, best_character = _FROM_BLANK_BEFORE, blank[place - 1]
        repeats = place > 1 and symbols[place - 1] == symbols[place - 2]
        if character[place - 1] > best_character and not repeats:
            character_from, best_character = _FROM_CHARACTER_BEFORE, character[place - 1]
        character[place] = -math.inf if blank_only else best_character + row[symbols[place - 1]]
    return blank_from + 2 * character_from


@inlined
def _backtrace(rows: Floats, steps: int, symbols: Ints, lattice: Lattice, times: Times) -> None:
    """Follow the moves back from the whole text."""
    place = len(symbols)
    in_character, latest = lattice.character[place] > lattice.blank[place], -1
    for step in range(steps - 1, -1, -1):
        move = integer(lattice.moves[step, place - lattice.firsts[step]])
        if in_character:
            character, frame = place - 1, lattice.kept[step]
            if character != latest:
                times.ends[character], latest = frame + 1, character
            times.starts[character] = frame
            times.sums[character] += math.exp(rows[frame, symbols[character]])
            move = move // 2
            in_character = move in (_STAY, _FROM_CHARACTER_BEFORE)
            place -= move >= _FROM_BLANK_BEFORE
        else:
            in_character = move % 2 == _FROM_CHARACTER
