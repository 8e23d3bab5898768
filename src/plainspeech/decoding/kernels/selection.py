"""Which hypotheses are one, and which go on."""

from __future__ import annotations

from typing import Any

import numpy as np

from plainspeech.decoding.kernels.jit import part, routine
from plainspeech.decoding.kernels.records import NONE, Doubles, Records, State, integer

_TINIEST = 5e-324  # above zero


@part
def open_table(entries: int, state: State) -> int:
    """Begin another frame in the hash table; return how many slots it has there.

    Args:
        entries: half of them may be used.
        state: has the table.
    """
    state.head[0].stamp += 1
    slots = 4
    while slots < entries:
        slots *= 2
    return slots


@part
def enter(beams: Records, place: int, slots: int, state: State) -> None:
    """Enter ``beams[place]``, whose key no other has, in the hash table."""
    slot = integer(beams[place].key & np.uint64(slots - 1))
    while state.slots[slot].stamp == state.head[0].stamp:
        slot = (slot + 1) & (slots - 1)
    state.slots[slot].stamp, state.slots[slot].place = state.head[0].stamp, place


@part
def merge(beams: Records, count: int, slots: int, state: State) -> int:
    """Add ``beams[count]`` to those entered before it, or to the one of the same key among them.

    Alignments of one text are summed; of two texts that nothing to come can tell apart, the
    better stays.

    Args:
        beams: the hypotheses of this frame so far.
        count: how many they are.
        slots: what `open_table` returned.
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
                beams[rival] = new
            return count
        place = (place + 1) & (slots - 1)
    state.slots[place].stamp, state.slots[place].place = stamp, count
    return count + 1


@routine
def select(beams: Records, count: int, width: int, ratio: float, weights: Doubles) -> int:
    """Move the best hypotheses to the front, the very best first.

    Args:
        beams: of which one beyond ``count`` is free.
        count: of hypotheses.
        width: most that stay.
        ratio: least weight of those that stay, relative to the best.
        weights: scratch for ``count`` numbers.

    Returns:
        How many stay; none where all weights are zero.
    """
    best = 0.0
    for place in range(count):
        best = max(best, beams[place].blank + beams[place].symbol)
    floor = max(best * ratio, _TINIEST)
    alive = 0
    for place in range(count):
        weight = beams[place].blank + beams[place].symbol
        if weight >= floor:
            weights[alive] = weight
            alive += 1
    ties = count
    if alive > width:
        floor = _largest(weights, alive, width)
        ties = width
        for place in range(alive):
            ties -= weights[place] > floor
    return _compact(beams, count, floor, ties, best)


@part
def _compact(beams: Records, count: int, floor: float, ties: int, best: float) -> int:
    kept, first = 0, 0
    for place in range(count):
        weight = beams[place].blank + beams[place].symbol
        if weight < floor or (weight == floor and ties == 0):
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


@part
def _largest(values: Doubles, count: int, rank: int) -> float:
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


@routine
def settle(beams: Records, count: int, factor: float, head: Any, prefixes: Records) -> None:
    """Give each new prefix its place, and multiply all weights by ``factor``."""
    for place in range(count):
        beam = beams[place]
        if beam.added != NONE:
            prefix = prefixes[head.prefixes]
            prefix.parent, prefix.symbol, prefix.frame = beam.node, beam.added, head.frame
            prefix.lm, prefix.share, prefix.slot = beam.lm, 0.0, 0
            beam.node, beam.added = head.prefixes, NONE
            head.prefixes += 1
        beam.blank *= factor
        beam.symbol *= factor
