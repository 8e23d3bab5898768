"""Measures of confidences against numbers worked out by hand, and what must hold for any."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainspeech.evaluation.reliability import (
    correct_words,
    discrimination,
    normalised_cross_entropy,
    reliability,
)

words = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), st.booleans()), min_size=2
).filter(lambda found: len({right for _, right in found}) == 2)


def test_words_are_right_where_they_were_said() -> None:
    found = correct_words(["a b c", "d", ""], ["a x c y", "", "z"])
    assert found.tolist() == [True, False, True, False, False]


def test_bins_by_hand() -> None:
    confidences = np.array([0.9, 0.2, 0.8, 0.4])
    found = reliability(confidences, np.array([True, False, True, True]), bins=2)
    assert found.confidences == pytest.approx([0.3, 0.85])
    assert found.accuracies == pytest.approx([0.5, 1.0])
    assert found.error == pytest.approx((0.2 + 0.15) / 2)


def test_what_is_as_sure_as_it_is_right_has_no_error() -> None:
    confidences, correct = np.array([0.5, 0.5, 1.0, 1.0]), np.array([True, False, True, True])
    assert reliability(confidences, correct, bins=2).error == 0
    assert reliability(confidences[:1], correct[:1]).error == 0.5


@given(words)
def test_discrimination_counts_pairs(found: list[tuple[float, bool]]) -> None:
    right = [confidence for confidence, is_right in found if is_right]
    wrong = [confidence for confidence, is_right in found if not is_right]
    pairs = [(a > b) + (a == b) / 2 for a in right for b in wrong]
    confidences, correct = np.array([c for c, _ in found]), np.array([r for _, r in found])
    assert discrimination(confidences, correct) == pytest.approx(np.mean(pairs))


def test_cross_entropy_of_one_confidence_for_all_is_zero() -> None:
    correct = np.array([True, True, True, False])
    assert normalised_cross_entropy(np.full(4, 0.75), correct) == pytest.approx(0)
    assert normalised_cross_entropy(correct.astype(float), correct) > 0.99
    assert normalised_cross_entropy(1.0 - correct, correct) < 0
