"""Priors of symbols: what a frame is divided by, and what it does to the search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from brute_force import random_rows
from hypothesis import given
from hypothesis import strategies as st
from toy_lm import random_lm

from plainspeech.alphabet import Alphabet
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.priors import divide_by_priors, estimate_log_priors
from plainspeech.errors import ConfigurationError

SMALL = Alphabet((" ", "a", "b"))
LM = random_lm(3, ("a", "ab", "ba", "bab", "abba"))
seeds = st.integers(0, 2**32 - 1)
weights = st.floats(0.0, 2.0)


@given(seeds, weights)
def test_each_frame_has_the_ratios_of_the_formula_and_sums_to_one(seed: int, weight: float) -> None:
    rows = random_rows(seed, 20, SMALL.size)
    priors = np.array(estimate_log_priors([rows]), np.float32)
    scaled = divide_by_priors(rows, np.float32(weight) * priors)
    np.testing.assert_allclose(np.exp(scaled).sum(axis=1), 1.0, rtol=1e-5)
    expected = rows - weight * priors
    np.testing.assert_allclose(
        scaled - scaled[:, :1], expected - expected[:, :1], rtol=1e-4, atol=1e-4
    )


def test_an_impossible_frame_stays_impossible() -> None:
    rows = np.full((2, SMALL.size), -np.inf, np.float32)
    rows[1, 0] = 0.0
    scaled = divide_by_priors(rows, np.array([-2.0, -1.0, -1.0, -0.5], np.float32))
    assert scaled.tolist() == rows.tolist()


def test_the_priors_are_the_mean_posteriors_and_never_nothing() -> None:
    half, quarter = np.log(0.5), np.log(0.25)
    outputs = [np.array([[half, quarter, -np.inf, quarter]], np.float32)]
    assert np.exp(estimate_log_priors(outputs)) == pytest.approx([0.5, 0.25, 1e-4, 0.25], rel=1e-3)


@given(seeds, weights)
def test_the_search_takes_scaled_likelihoods_and_keeps_the_network_s_times(
    seed: int, weight: float
) -> None:
    rows = random_rows(seed, 30, SMALL.size)
    priors = estimate_log_priors([rows])
    settings: dict[str, Any] = {"frame_seconds": 1.0, "unknown_word_penalty": 2.0}
    found = BeamSearchDecoder(
        SMALL, LM, prior_weight=weight, log_priors=priors, **settings
    ).decode_n_best(rows, 1)[0]
    scaled = divide_by_priors(rows, np.float32(weight) * np.array(priors, np.float32))
    expected = BeamSearchDecoder(SMALL, LM, **settings).decode_n_best(scaled, 1)[0]
    assert found.transcript.text == expected.transcript.text
    assert found.score == pytest.approx(expected.score)


def test_a_frequent_blank_no_longer_hides_a_letter() -> None:
    rows = np.log(np.array([[0.05, 0.3, 0.05, 0.6]] * 2, np.float32))
    priors = np.log([0.2, 0.1, 0.1, 0.6])
    assert BeamSearchDecoder(SMALL).decode(rows[:1]).text == ""
    decoder = BeamSearchDecoder(SMALL, prior_weight=1.0, log_priors=priors.tolist())
    assert decoder.decode(rows[:1]).text == "a"


@pytest.mark.parametrize("priors", [[-1.0, -1.0, np.nan, -1.0], [0.5, -1, -1, -1], ["a"] * 4])
def test_priors_that_are_no_logarithms_are_refused(priors: list[Any]) -> None:
    with pytest.raises(ConfigurationError, match="log_priors must be natural logarithms"):
        BeamSearchDecoder(SMALL, prior_weight=0.5, log_priors=priors)


def test_priors_of_another_alphabet_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"log_priors has 3 values; .* has 4 symbols"):
        BeamSearchDecoder(SMALL, prior_weight=0.5, log_priors=[-1.0, -1.0, -1.0])
