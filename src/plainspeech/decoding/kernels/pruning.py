"""Pruning: the symbols of a frame that are tried, and the best hypotheses, equal ones merged."""

from __future__ import annotations

import math

import numpy as np

from plainspeech.decoding.kernels.jit import inlined, subroutine
from plainspeech.decoding.kernels.recombination import append, keep_replaced, replace
from plainspeech.decoding.kernels.records import (
    NONE,
    Doubles,
    Floats,
    Records,
    SearchParameters,
    State,
    integer,
)

_TINIEST = 5e-324  # above zero


@subroutine
def select_candidates(row: Floats, parameters: SearchParameters, state: State) -> int:
    """Select the symbols of the frame ``row`` that are considered; return how many.

    They are in ``state.candidates``, and ``state.probabilities`` holds their probabilities, until
    `clear_candidates` is called. The blank takes part in the ranking, but is always considered.
    """
    candidates = state.candidates
    ranked = parameters.cutoff_prob < 1.0 or parameters.cutoff_top_n < len(row)
    count = 0
    for symbol in range(len(row)):
        if row[symbol] >= parameters.token_floor and (ranked or symbol != parameters.blank):
            place = count
            while ranked and place > 0 and candidates[place - 1].log_probability < row[symbol]:
                candidates[place] = candidates[place - 1]
                place -= 1
            candidates[place].symbol = symbol
            candidates[place].log_probability = row[symbol]
            count += 1
    if ranked:
        count = _truncate(count, parameters, state)
    for place in range(count):
        candidate = candidates[place]
        state.probabilities[candidate.symbol] = math.exp(candidate.log_probability)
    return count


@inlined
def _truncate(count: int, parameters: SearchParameters, state: State) -> int:
    """Keep the most probable symbols that have ``cutoff_prob`` together, without the blank."""
    candidates = state.candidates
    kept, mass = 0, 0.0
    for place in range(min(count, parameters.cutoff_top_n)):
        if mass >= parameters.cutoff_prob:
            break
        mass += math.exp(candidates[place].log_probability)
        if candidates[place].symbol != parameters.blank:
            candidates[kept] = candidates[place]
            kept += 1
    return kept


@inlined
def clear_candidates(count: int, state: State) -> None:
    """Reset ``state.probabilities`` after `select_candidates`."""
    for place in range(count):
        state.probabilities[state.candidates[place].symbol] = 0.0


@inlined
def begin_frame(entries: int, state: State) -> int:
    """Begin another frame in the hash table; return how many of its slots the frame uses.

    Args:
        entries: least number of slots, twice the number of hypotheses or more.
        state: has the table.
    """
    state.head[0].stamp += 1
    slots = 4
    while slots < entries:
        slots *= 2
    return slots


@inlined
def insert(beams: Records, place: int, slots: int, state: State) -> None:
    """Insert ``beams[place]``, whose key no other has, into the hash table."""
    slot = integer(beams[place].key & np.uint64(slots - 1))
    while state.slots[slot].stamp == state.head[0].stamp:
        slot = (slot + 1) & (slots - 1)
    state.slots[slot].stamp, state.slots[slot].place = state.head[0].stamp, place


@inlined
def merge_or_insert(beams: Records, count: int, slots: int, state: State) -> int:
    """Insert ``beams[count]``, or merge it into the hypothesis with the same key.

    The weights of one text are summed; of two texts with the same continuations, the better
    stays.

    Args:
        beams: the hypotheses of this frame so far.
        count: how many they are.
        slots: what `begin_frame` returned.
        state: has the hash table.

    Returns:
        How many they are now.
    """
    new, stamp = beams[count], state.head[0].stamp
    place = integer(new.key & np.uint64(slots - 1))
    while state.slots[place].stamp == stamp:
        rival = state.slots[place].place
        old = beams[rival]
        if old.key == new.key:
            if old.text == new.text:
                old.symbol += new.symbol
            elif new.symbol > old.blank + old.symbol:
                replace(old, new, integer(old.replaced), state)
                beams[rival] = new
            else:
                replace(new, old, integer(old.replaced), state)
            return count
        place = (place + 1) & (slots - 1)
    state.slots[place].stamp, state.slots[place].place = stamp, count
    return count + 1


@subroutine
def prune(beams: Records, count: int, width: int, ratio: float, weights: Doubles) -> int:
    """Move the best hypotheses to the front, the best of all first.

    Args:
        beams: of which one beyond ``count`` is free.
        count: of hypotheses.
        width: most that stay.
        ratio: least weight of those that stay, relative to the best.
        weights: scratch for ``count`` numbers.

    Returns:
        How many stay, all of a weight above zero; none where there is no such weight.
    """
    best = 0.0
    for place in range(count):
        best = max(best, beams[place].blank + beams[place].symbol)  # never NaN
    floor = max(best * ratio, _TINIEST)
    alive = 0
    for place in range(count):
        weight = beams[place].blank + beams[place].symbol
        if weight >= floor:
            weights[alive] = weight
            alive += 1
    ties = count
    if alive > width:
        floor = _kth_largest(weights, alive, width)
        ties = width
        for place in range(alive):
            ties -= weights[place] > floor
    return _compact(beams, count, floor, ties, best)


@inlined
def _compact(beams: Records, count: int, floor: float, ties: int, best: float) -> int:
    kept, first = 0, 0
    for place in range(count):
        weight = beams[place].blank + beams[place].symbol
        if not weight >= floor or (weight == floor and ties == 0):
            continue
        ties -= weight == floor
        if weight == best:
            first = kept
        if kept != place:
            beams[kept] = beams[place]
        kept += 1
    if first > 0:
        beams[count] = beams[0]
        beams[0] = beams[first]
        beams[first] = beams[count]
    return kept


@inlined
def _kth_largest(values: Doubles, count: int, rank: int) -> float:
    """Return the ``rank``-th largest of ``values``, which change places (Hoare's find, 1961)."""
    low, high, target = 0, count - 1, rank - 1
    while low < high:
        pivot = values[(low + high) // 2]
        left, right = low, high
        while left <= right:
            while values[left] > pivot:
                left += 1
            while values[right] < pivot:
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                left += 1
                right -= 1
        if target <= right:
            high = right
        elif target >= left:
            low = left
        else:
            break
    return values[target]  # type: ignore[no-any-return]


@subroutine
def commit(
    beams: Records,
    count: int,
    factor: float,
    least: float,
    parameters: SearchParameters,
    state: State,
    prefixes: Records,
) -> None:
    """Append the new prefixes to the tree, and multiply all weights by ``factor``.

    Args:
        beams: the hypotheses of the next frame.
        count: how many they are.
        factor: for their weights.
        least: weight of those that others have replaced, below which they are forgotten.
        parameters: of the search.
        state: of the search.
        prefixes: the tree, with room for ``2 * parameters.beam_width`` more.
    """
    head, room = state.head[0], parameters.beam_width
    for place in range(count):
        beam = beams[place]
        if beam.added != NONE:
            beam.node, beam.added = append(beam, head, prefixes), NONE
        if beam.replaced != NONE:
            room -= keep_replaced(beam, least, room, state, prefixes)
            beam.replaced = NONE
        beam.blank *= factor
        beam.symbol *= factor
