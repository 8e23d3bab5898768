"""Error rates against a Levenshtein distance of our own, and by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainspeech.evaluation.error_rates import (
    ErrorCounts,
    Pair,
    align_words,
    character_counts,
    error_rates,
    word_counts,
)

SENTENCES = st.lists(st.sampled_from(["a", "b", "cd", "it's"]), max_size=8).map(" ".join)
PAIRS = st.lists(st.builds(Pair, st.just("u"), st.just("s"), SENTENCES, SENTENCES), max_size=6)


def pair(reference: str, hypothesis: str) -> Pair:
    return Pair("u", "s", reference, hypothesis)


def levenshtein(left: list[str], right: list[str]) -> int:
    """The textbook's recurrence, row by row."""
    row = list(range(len(right) + 1))
    for i, said in enumerate(left, start=1):
        above, row[0] = row[0], i
        for j, heard in enumerate(right, start=1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (said != heard))
    return row[-1]


def test_counts_by_hand() -> None:
    rates = error_rates([pair("the cat sat down", "the hat sat"), pair("oh", "oh my")])
    assert rates.words == ErrorCounts(hits=3, substitutions=1, deletions=1, insertions=1)
    assert rates.words.reference_length == 5
    assert rates.words.rate == pytest.approx(3 / 5)


def test_the_rate_is_of_the_corpus_and_not_the_mean_over_utterances() -> None:
    nine = "one two three four five six seven eight nine"
    pairs = [pair("yes", "no"), pair(nine, nine)]
    mean = sum(counts.rate for counts in word_counts(pairs)) / len(pairs)
    assert mean == pytest.approx(0.5)
    assert error_rates(pairs).words.rate == pytest.approx(0.1)


def test_the_space_between_two_words_is_a_character() -> None:
    counts = error_rates([pair("a b", "ab")]).characters
    assert counts == ErrorCounts(hits=2, deletions=1)


def test_white_space_is_one_space() -> None:
    tidy, wild = pair("a b c", "a c"), pair("  a \t b  c\n", " a   c ")
    assert error_rates([wild]) == error_rates([tidy])
    assert align_words(wild) == align_words(tidy)


def test_an_empty_reference_has_insertions_alone() -> None:
    pairs = [pair("", "a bc"), pair("x", "x"), pair("", "")]
    assert word_counts(pairs) == [ErrorCounts(insertions=2), ErrorCounts(hits=1), ErrorCounts()]
    assert character_counts(pairs) == [
        ErrorCounts(insertions=4),
        ErrorCounts(hits=1),
        ErrorCounts(),
    ]
    assert error_rates(pairs).words.rate == 2.0


def test_the_rate_over_nothing_is_finite() -> None:
    assert ErrorCounts().rate == 0.0
    assert ErrorCounts(insertions=3).rate == 3.0
    assert error_rates([]).words == error_rates([]).characters == ErrorCounts()


def test_alignment_names_every_step() -> None:
    steps = align_words(pair("the cat sat down", "a the hat sat"))
    assert [(step.operation, step.reference, step.hypothesis) for step in steps] == [
        ("insertion", "", "a"),
        ("hit", "the", "the"),
        ("substitution", "cat", "hat"),
        ("hit", "sat", "sat"),
        ("deletion", "down", ""),
    ]


@given(PAIRS)
def test_errors_are_the_levenshtein_distance(pairs: list[Pair]) -> None:
    for item, words, characters in zip(
        pairs, word_counts(pairs), character_counts(pairs), strict=True
    ):
        said, heard = item.reference.split(), item.hypothesis.split()
        assert words.errors == levenshtein(said, heard)
        assert words.reference_length == len(said)
        assert words.hits + words.substitutions + words.insertions == len(heard)
        assert characters.errors == levenshtein(list(item.reference), list(item.hypothesis))
        assert characters.reference_length == len(item.reference)


@given(PAIRS)
def test_the_corpus_is_the_sum_of_its_utterances(pairs: list[Pair]) -> None:
    rates = error_rates(pairs)
    assert rates.words == sum(word_counts(pairs), ErrorCounts())
    assert rates.characters == sum(character_counts(pairs), ErrorCounts())
    assert math.isfinite(rates.words.rate)
    assert (rates.words.rate == 0) == all(item.reference == item.hypothesis for item in pairs)


@given(SENTENCES, SENTENCES)
def test_alignment_and_counts_agree(reference: str, hypothesis: str) -> None:
    item = pair(reference, hypothesis)
    steps, (counts,) = align_words(item), word_counts([item])
    assert " ".join(step.reference for step in steps if step.reference) == reference
    assert " ".join(step.hypothesis for step in steps if step.hypothesis) == hypothesis
    kinds = [step.operation for step in steps]
    assert counts == ErrorCounts(
        *(kinds.count(kind) for kind in ("hit", "substitution", "deletion", "insertion"))
    )
