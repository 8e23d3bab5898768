"""Priors of symbols: what a network says of a symbol before it has heard anything.

A network that is trained with CTC estimates p(symbol | audio) of each frame, in which the blank and
the common letters are favoured as they were among its training targets. A language model knows
that too, and better, so that it would count twice. As in hybrid recognisers, the search therefore
takes scaled likelihoods, proportional to p(symbol | audio) / p(symbol)^w, in which w is a weight to
tune (Bourlard and Morgan, "Connectionist Speech Recognition", 1994; for CTC: Miao, Gowayyed and
Metze, "EESEN", ASRU 2015).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from plainspeech.arrays import Array

_LEAST = 1e-4  # a symbol that a small set hardly has must not become cheaper than any other


def estimate_log_priors(outputs: Iterable[Array]) -> tuple[float, ...]:
    """Return ln p(symbol) for each symbol, the blank last: the mean of its posteriors.

    Args:
        outputs: ``(frames, symbols)``, natural log-probabilities, one or more frames in all.
    """
    sums, frames = 0.0, 0
    for rows in outputs:  # an utterance at a time: a dev set may have many hours
        sums = sums + np.exp(rows.astype(np.float64)).sum(axis=0)
        frames += len(rows)
    priors = np.maximum(sums / frames, _LEAST)
    return tuple(round(float(value), 4) for value in np.log(priors))


def divide_by_priors(rows: Array, weighted_log_priors: Array) -> Array:
    """Return scaled likelihoods, as log-probabilities: those of each frame sum to 1 again.

    What a frame is divided by to that end is the same for all hypotheses.

    Args:
        rows: ``(frames, symbols)``, natural log-probabilities. A frame in which all are -inf stays
            so.
        weighted_log_priors: ``(symbols,)``, w ln p(symbol).
    """
    scaled = rows - weighted_log_priors
    highest = scaled.max(axis=1, keepdims=True, initial=-np.inf)
    scaled -= np.where(np.isfinite(highest), highest, np.float32(0))
    sums = np.exp(scaled).sum(axis=1, keepdims=True)
    scaled -= np.log(np.where(sums > 0, sums, np.float32(1)))
    return scaled
