"""Which symbols of a frame are worth a try."""

from __future__ import annotations

import math

from plainspeech.decoding.kernels.jit import part, routine
from plainspeech.decoding.kernels.records import Floats, Setup, State


@routine
def consider(row: Floats, setup: Setup, state: State) -> int:
    """Choose symbols of the frame ``row``; return how many.

    They are in ``state.candidates``, and ``state.probabilities`` holds their probabilities, until
    `forget` is called. The blank takes part in the ranking, but is always considered.
    """
    candidates = state.candidates
    ranked = setup.mass < 1.0 or setup.top < len(row)
    count = 0
    for symbol in range(len(row)):
        if row[symbol] >= setup.floor and (ranked or symbol != setup.blank):
            place = count
            while ranked and place > 0 and candidates[place - 1].log_probability < row[symbol]:
                candidates[place] = candidates[place - 1]
                place -= 1
            candidates[place].symbol = symbol
            candidates[place].log_probability = row[symbol]
            count += 1
    if ranked:
        count = _cut(count, setup, state)
    for place in range(count):
        candidate = candidates[place]
        state.probabilities[candidate.symbol] = math.exp(candidate.log_probability)
    return count


@part
def _cut(count: int, setup: Setup, state: State) -> int:
    """Keep the most probable symbols that have the mass asked for, without the blank."""
    candidates = state.candidates
    kept, mass = 0, 0.0
    for place in range(min(count, setup.top)):
        if mass >= setup.mass:
            break
        mass += math.exp(candidates[place].log_probability)
        if candidates[place].symbol != setup.blank:
            candidates[kept] = candidates[place]
            kept += 1
    return kept


@part
def forget(count: int, state: State) -> None:
    """Undo `consider`."""
    for place in range(count):
        state.probabilities[state.candidates[place].symbol] = 0.0
