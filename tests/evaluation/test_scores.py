"""Scores of a corpus and of its speakers."""

from __future__ import annotations

from plainspeech.evaluation.error_rates import Counts, Pair, error_rates
from plainspeech.evaluation.scores import Scores

PAIRS = [
    Pair("1", "good", "one two three", "one two three"),
    Pair("2", "bad", "four five", "for five"),
    Pair("3", "worst", "six", ""),
    Pair("4", "good", "seven", "seven eight"),
]


def test_totals_are_the_corpus_level_rates() -> None:
    assert Scores.of(PAIRS).totals == error_rates(PAIRS)


def test_a_sentence_with_an_insertion_is_wrong() -> None:
    assert Scores.of(PAIRS).sentences_wrong == 3


def test_speakers_come_worst_first_and_lose_nothing() -> None:
    scores = Scores.of(PAIRS)
    parts = scores.by_speaker()
    assert list(parts) == ["worst", "bad", "good"]
    assert [pair.id for pair in parts["good"].pairs] == ["1", "4"]
    assert parts["bad"].totals.words == Counts(hits=1, substitutions=1)
    assert sum((part.totals.words for part in parts.values()), Counts()) == scores.totals.words
