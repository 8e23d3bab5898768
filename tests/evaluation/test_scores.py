"""Scores of a corpus and of its speakers."""

from __future__ import annotations

from plainspeech.evaluation.error_rates import ErrorCounts, Pair, Scores

PAIRS = [
    Pair("1", "good", "one two three", "one two three"),
    Pair("2", "bad", "four five", "for five"),
    Pair("3", "worst", "six", ""),
    Pair("4", "good", "seven", "seven eight"),
]


def test_totals_are_summed_over_the_corpus() -> None:
    """Counted by hand; the mean of the four utterances' rates would be 0.625 instead of 3 / 7."""
    totals = Scores.of(PAIRS).totals
    assert totals.words == ErrorCounts(hits=5, substitutions=1, deletions=1, insertions=1)
    assert totals.words.rate == 3 / 7
    assert totals.characters == ErrorCounts(hits=26, deletions=4, insertions=6)


def test_a_sentence_with_an_insertion_is_wrong() -> None:
    assert Scores.of(PAIRS).sentences_wrong == 3


def test_speakers_come_worst_first_and_lose_nothing() -> None:
    scores = Scores.of(PAIRS)
    parts = scores.by_speaker()
    assert list(parts) == ["worst", "bad", "good"]
    assert [pair.id for pair in parts["good"].pairs] == ["1", "4"]
    assert parts["bad"].totals.words == ErrorCounts(hits=1, substitutions=1)
    assert sum((part.totals.words for part in parts.values()), ErrorCounts()) == scores.totals.words
