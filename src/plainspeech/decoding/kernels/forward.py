"""How probable a text is, all its alignments together: the forward pass of CTC."""

from __future__ import annotations

import math

from plainspeech.decoding.kernels.jit import kernel
from plainspeech.decoding.kernels.records import Doubles, Ints

_PRUNED = 1e-26  # weight of a place, relative to the best of the frame
_SMALL = 1e-100  # below this, weights are scaled to 1


@kernel
def score_alignments(
    probabilities: Doubles,
    symbols: Ints,
    length: int,
    space: int,
    blank_weights: Doubles,
    symbol_weights: Doubles,
    score: Doubles,
) -> None:
    """Write the logarithm of the sum of the probabilities of the alignments of a text.

    A. Graves et al., ICML 2006, section 4.1. As in the search several spaces count as one, and
    those before the first word, and after the last, as none. Places far below the best of a frame
    are dropped: time grows with the number of frames alone. That suits texts which a search has
    found; `plainspeech.decoding.text_scores` scores any text, however improbable, in logarithms.

    Args:
        probabilities: ``(frames, symbols)``, the blank last.
        symbols: of the text, and the space that may follow it, if it may.
        length: of the text.
        space: the symbol, NONE without one.
        blank_weights: scratch, zeros, one more than symbols.
        symbol_weights: as ``blank_weights``.
        score: of one number, minus infinity for no alignment.
    """
    blank, places = probabilities.shape[1] - 1, len(symbols)
    blank_weights[0], log_factor, first, last = 1.0, 0.0, 0, 0
    for frame in range(len(probabilities)):
        row, best = probabilities[frame], 0.0
        last = min(last + 1, places)
        for place in range(last, first - 1, -1):
            both = blank_weights[place] + symbol_weights[place]
            if place == 0:
                written = both * row[space] if space >= 0 else 0.0
            else:
                symbol = symbols[place - 1]
                arriving = blank_weights[place - 1]
                if place == 1 or symbol != symbols[place - 2]:
                    arriving += symbol_weights[place - 1]
                # A space after a blank is no other space.
                staying = both if symbol == space else symbol_weights[place]
                written = (arriving + staying) * row[symbol]
            blank_weights[place], symbol_weights[place] = both * row[blank], written
            best = max(best, blank_weights[place] + written)
        while first < last and blank_weights[first] + symbol_weights[first] < best * _PRUNED:
            blank_weights[first] = symbol_weights[first] = 0.0
            first += 1
        while first < last and blank_weights[last] + symbol_weights[last] < best * _PRUNED:
            blank_weights[last] = symbol_weights[last] = 0.0
            last -= 1
        if 0.0 < best < _SMALL:
            for place in range(first, last + 1):
                blank_weights[place] /= best
                symbol_weights[place] /= best
            log_factor += math.log(best)
    total = 0.0
    for place in range(length, places + 1):
        total += blank_weights[place] + symbol_weights[place]
    score[0] = math.log(total) + log_factor if total > 0.0 else -math.inf
