"""The bootstrap interval: where it must be, how wide, and how often it is right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainspeech.evaluation import error_rates
from plainspeech.evaluation.error_rates import (
    CONFIDENCE,
    ErrorCounts,
    Interval,
    difference_interval,
    rate_interval,
)

COUNTS = st.lists(
    st.builds(ErrorCounts, *[st.integers(0, 30)] * 4).filter(
        lambda counts: counts.reference_length > 0
    ),
    min_size=1,
    max_size=40,
)


def corpus(errors: list[int], words: int) -> list[ErrorCounts]:
    return [ErrorCounts(hits=words - wrong, substitutions=wrong) for wrong in errors]


@settings(max_examples=50)
@given(COUNTS)
def test_it_contains_the_rate(counts: list[ErrorCounts]) -> None:
    interval = rate_interval(counts, resamples=500)
    assert interval.low <= sum(counts, ErrorCounts()).rate <= interval.high


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20))
def test_it_has_no_width_where_every_utterance_has_the_same_rate(lengths: list[int]) -> None:
    counts = [ErrorCounts(hits=length, deletions=length) for length in lengths]
    assert rate_interval(counts, resamples=20) == Interval(0.5, 0.5)


def test_it_is_finite_over_nothing() -> None:
    assert rate_interval([]) == Interval(0.0, 0.0)
    assert rate_interval([ErrorCounts()]) == Interval(0.0, 0.0)
    assert rate_interval([ErrorCounts(insertions=2)]) == Interval(2.0, 2.0)


def test_it_is_the_same_again() -> None:
    counts = corpus([0, 3, 1, 9, 2, 5], words=10)
    assert rate_interval(counts) == rate_interval(counts)


def test_its_width_is_that_of_the_mean_of_utterances() -> None:
    """Utterances of equal length: 2 x 1.96 standard errors, by the central limit theorem."""
    errors = np.random.default_rng(3).integers(0, 21, size=400)
    interval = rate_interval(corpus(errors.tolist(), words=20))
    expected = 2 * 1.96 * float(np.std(errors / 20)) / np.sqrt(400)
    assert interval.high - interval.low == pytest.approx(expected, rel=0.1)


def test_it_is_right_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors come in utterances (beta-binomial); the true rate is 0.2."""
    draw = np.random.default_rng(4)
    trials, right = 300, 0
    for trial in range(trials):
        lengths = draw.integers(3, 30, size=100)
        errors = draw.binomial(lengths, draw.beta(1, 4, size=100))
        counts = [
            ErrorCounts(hits=n - wrong, substitutions=wrong)
            for n, wrong in zip(lengths.tolist(), errors.tolist(), strict=True)
        ]
        monkeypatch.setattr(error_rates, "_SEED", trial)
        interval = rate_interval(counts, resamples=300)
        right += interval.low <= 0.2 <= interval.high
    deviation = np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / trials)
    # The percentile interval is a little too narrow for 100 utterances.
    assert CONFIDENCE - 0.02 - 3 * deviation < right / trials < CONFIDENCE + 3 * deviation


@given(COUNTS)
def test_nothing_differs_from_itself(counts: list[ErrorCounts]) -> None:
    assert difference_interval(counts, counts, resamples=20) == Interval(0.0, 0.0)


def test_a_difference_is_that_of_pairs() -> None:
    """One error fewer in each utterance, however different the utterances: no doubt is left."""
    before = corpus([1, 20, 3, 9, 14, 5], words=20)
    after = corpus([0, 19, 2, 8, 13, 4], words=20)
    interval = difference_interval(before, after)
    assert (interval.low, interval.high) == pytest.approx((-0.05, -0.05))
    assert difference_interval(after, before).low == pytest.approx(0.05)


def test_a_difference_of_chance_has_zero_in_its_interval() -> None:
    draw = np.random.default_rng(5)
    before, after = draw.integers(0, 10, size=(2, 300)).tolist()
    interval = difference_interval(corpus(before, words=20), corpus(after, words=20))
    assert interval.low < 0 < interval.high
