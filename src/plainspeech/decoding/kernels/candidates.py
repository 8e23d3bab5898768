"""The symbols of a frame that are considered."""

from __future__ import annotations

import math

from plainspeech.decoding.kernels.jit import inlined, subroutine
from plainspeech.decoding.kernels.records import Floats, SearchParameters, State


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
