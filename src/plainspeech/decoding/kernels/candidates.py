"""Which symbols of a frame are worth a try."""

from __future__ import annotations

import math

from plainspeech.decoding.kernels.jit import kernel
from plainspeech.decoding.kernels.records import Floats, Setup, State


@kernel
def consider(row: Floats, setup: Setup, state: State) -> int:
    """Choose symbols of the frame ``row``; return how many.

    They are in ``state.symbols``, and ``state.probabilities`` holds their probabilities, until
    `forget` is called. The blank takes part in the ranking, but is always considered.
    """
    symbols, logs = state.symbols, state.logs
    ranked = setup.mass < 1.0 or setup.top < len(row)
    count = 0
    for symbol in range(len(row)):
        if row[symbol] >= setup.floor and (ranked or symbol != setup.blank):
            place = count
            while ranked and place > 0 and logs[place - 1] < row[symbol]:
                symbols[place], logs[place] = symbols[place - 1], logs[place - 1]
                place -= 1
            symbols[place], logs[place] = symbol, row[symbol]
            count += 1
    if ranked:
        count = _cut(count, setup, state)
    for place in range(count):
        state.probabilities[symbols[place]] = math.exp(logs[place])
    return count


@kernel
def _cut(count: int, setup: Setup, state: State) -> int:
    """Keep the most probable symbols that have the mass asked for, without the blank."""
    symbols, logs = state.symbols, state.logs
    kept, mass = 0, 0.0
    for place in range(min(count, setup.top)):
        if mass >= setup.mass:
            break
        mass += math.exp(logs[place])
        if symbols[place] != setup.blank:
            symbols[kept], logs[kept] = symbols[place], logs[place]
            kept += 1
    return kept


@kernel
def forget(count: int, state: State) -> None:
    """Undo `consider`."""
    for place in range(count):
        state.probabilities[state.symbols[place]] = 0.0
