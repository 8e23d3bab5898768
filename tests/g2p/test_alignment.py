"""The alignment of letters with phones, against the enumeration of all ways to cut."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainspeech.g2p.alignment import LONGEST, Pairs, align, expected_counts, learn

KINDS = ((1, 0), (1, 1), (1, 2), (2, 1))  # letters and phones of a unit

words = st.text("abcd", min_size=1, max_size=5)
sounds = st.text("XYZ", min_size=1, max_size=5)
lexicons = st.lists(st.tuples(words, sounds), min_size=1, max_size=6)
seeds = st.integers(0, 2**32 - 1)


def cuts(word: str, sound: str) -> Iterator[list[tuple[str, str]]]:
    """Yield all ways to cut a pair into units."""
    if not word and not sound:
        yield []
    for letters, phones in KINDS:
        if len(word) >= letters and len(sound) >= phones:
            unit = word[:letters], sound[:phones]
            yield from ([unit, *rest] for rest in cuts(word[letters:], sound[phones:]))


def random_probabilities(pairs: Pairs, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(int(pairs.offsets[-1])))


@settings(max_examples=60, deadline=None)
@given(lexicons, seeds)
def test_likelihood_and_counts_are_those_of_all_cuts(
    lexicon: list[tuple[str, str]], seed: int
) -> None:
    pairs = Pairs.of(lexicon)
    probabilities = random_probabilities(pairs, seed)
    names = [pairs.unit(index) for index in range(len(probabilities))]
    ids = {name: index for index, name in enumerate(names)}
    assert len(ids) == len(names)
    wanted, total = np.zeros(len(names)), 0.0
    for word, sound in lexicon:
        ways = [[ids[unit] for unit in cut] for cut in cuts(word, sound)]
        weights = [math.prod(probabilities[way].tolist()) for way in ways]
        if not ways:
            continue
        total += math.log(sum(weights))
        for way, weight in zip(ways, weights, strict=True):
            np.add.at(wanted, way, weight / sum(weights))

    counts, likelihood = expected_counts(pairs, probabilities)

    assert likelihood == pytest.approx(total, rel=1e-9)
    np.testing.assert_allclose(counts, wanted, rtol=1e-8, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(lexicons, seeds)
def test_an_iteration_never_lowers_the_likelihood(
    lexicon: list[tuple[str, str]], seed: int
) -> None:
    pairs = Pairs.of(lexicon)
    probabilities = random_probabilities(pairs, seed)
    counts, before = expected_counts(pairs, probabilities)
    if counts.sum():
        assert expected_counts(pairs, counts / counts.sum())[1] >= before - 1e-9


@settings(max_examples=60, deadline=None)
@given(lexicons)
def test_the_cut_is_a_most_probable_one(lexicon: list[tuple[str, str]]) -> None:
    pairs = Pairs.of(lexicon)
    probabilities = learn(pairs)
    names = [pairs.unit(index) for index in range(len(probabilities))]
    ids = {name: index for index, name in enumerate(names)}
    alignment = align(pairs)
    for place, (word, sound) in enumerate(lexicon):
        found = alignment.units[alignment.starts[place] : alignment.starts[place + 1]].tolist()
        ways = [[ids[unit] for unit in cut] for cut in cuts(word, sound)]
        scores = [math.prod(probabilities[way].tolist()) for way in ways]
        if not found:  # no way, or by hardly probable units alone
            assert all((probabilities[way] < 1e-4).any() for way in ways)
            continue
        assert "".join(names[unit][0] for unit in found) == word
        assert "".join(names[unit][1] for unit in found) == sound
        best = max(scores)
        if all((probabilities[way] >= 1e-4).all() for way in ways):
            assert math.prod(probabilities[found].tolist()) == pytest.approx(best)


@settings(max_examples=60, deadline=None)
@given(lexicons)
def test_every_letter_of_a_pair_that_can_be_cut_has_a_unit_that_sounds(
    lexicon: list[tuple[str, str]],
) -> None:
    pairs = Pairs.of(lexicon)
    sounding = {pairs.unit(unit)[0] for unit in align(pairs).sounding.tolist()}
    possible = {
        letter
        for word, sound in lexicon
        for cut in cuts(word, sound)
        for letter, phones in cut
        if len(letter) == 1 and phones
    }
    assert sounding == possible


def test_what_is_too_long_is_left_out() -> None:
    pairs = Pairs.of([("a" * (LONGEST + 1), "X"), ("b", "Y" * 3), ("a", "X")])
    alignment = align(pairs)
    assert np.diff(alignment.starts).tolist() == [0, 0, 1]
    assert [pairs.unit(unit) for unit in alignment.units.tolist()] == [("a", "X")]
