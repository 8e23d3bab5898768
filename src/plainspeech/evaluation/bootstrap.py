"""How far an error rate would move if other utterances had been recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plainspeech.evaluation.error_rates import ErrorCounts

CONFIDENCE = 0.95
"""Of every interval that is reported."""


@dataclass(frozen=True)
class Interval:
    """The ends of a confidence interval of an error rate, or of the difference of two."""

    low: float
    high: float


def rate_interval(counts: Sequence[ErrorCounts], resamples: int = 2_000, seed: int = 0) -> Interval:
    """Return the bootstrap percentile interval of the corpus-level error rate.

    A resample draws as many utterances as there are, with replacement, and divides its errors by
    its reference length (Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR
    performance evaluation", ICASSP 2004). Utterances are drawn rather than words, since the
    errors of an utterance come together. Whole speakers are not drawn: test sets have too few of
    them, so the interval speaks for other utterances of these speakers.

    Args:
        counts: of each utterance.
        resamples: how many.
        seed: of the draws; the same seed gives the same interval.

    Returns:
        The middle `CONFIDENCE` of the resampled rates; zero width where no utterance is given.
    """
    return _interval(counts, [0] * len(counts), resamples, seed)


def difference_interval(
    before: Sequence[ErrorCounts],
    after: Sequence[ErrorCounts],
    resamples: int = 2_000,
    seed: int = 0,
) -> Interval:
    """Return the interval of the corpus-level error rate of ``after`` less that of ``before``.

    Both are of the same utterances in the same order, and are drawn together, as `rate_interval`
    draws one: what is hard for both does not blur their difference.

    Args:
        before: of each utterance.
        after: of each utterance, by another decoder or model.
        resamples: how many.
        seed: of the draws.
    """
    return _interval(after, [count.errors for count in before], resamples, seed)


def _interval(
    counts: Sequence[ErrorCounts], subtracted: Sequence[int], resamples: int, seed: int
) -> Interval:
    """Return the interval of the rate of ``counts`` with so many errors fewer an utterance."""
    if not counts:
        return Interval(0.0, 0.0)
    errors = np.array([count.errors for count in counts]) - np.array(subtracted)
    lengths = np.array([count.reference_length for count in counts])
    draw = np.random.default_rng(seed)
    rates = np.empty(resamples)
    # One resample at a time: all at once is 450 MB for the 28,539 utterances of train-clean-100.
    for index in range(resamples):
        drawn = draw.integers(len(counts), size=len(counts))
        rates[index] = errors[drawn].sum() / max(1, lengths[drawn].sum())
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(rates, [tail, 1 - tail])
    return Interval(float(low), float(high))
