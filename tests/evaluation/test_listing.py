"""Actual and predicted words beneath each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainspeech.evaluation.error_rates import Pair
from plainspeech.evaluation.listing import evenly_spaced, listing

PAIR = Pair("84-1", "84", "the cat sat down there", "a the hat sat there")
TEXTS = st.lists(st.sampled_from(["a", "the", "cat", "recogniser"]), max_size=12).map(" ".join)


def test_errors_are_marked_without_colour() -> None:
    assert listing(PAIR, width=80).plain.splitlines() == [
        "84-1: words 5, errors 3",
        "actual     * the cat sat down there",
        "predicted  a the hat sat **** there",
        "           I     S       D",
    ]


def test_errors_are_marked_in_colour() -> None:
    text = listing(PAIR, width=80)
    coloured = {
        text.plain[span.start : span.end].strip(): span.style
        for span in text.spans
        if span.style in ("yellow", "red", "cyan")
    }
    assert coloured["cat"] == coloured["hat"] == coloured["S"] == "yellow"
    assert coloured["down"] == coloured["****"] == coloured["D"] == "red"
    assert coloured["a"] == coloured["*"] == coloured["I"] == "cyan"
    assert "the" not in coloured


def test_long_sentences_go_on_beneath() -> None:
    assert listing(PAIR, width=25).plain.splitlines() == [
        "84-1: words 5, errors 3",
        "actual     * the cat sat",
        "predicted  a the hat sat",
        "           I     S",
        "actual     down there",
        "predicted  **** there",
        "           D",
    ]


def test_what_looks_like_markup_is_text() -> None:
    assert "[red]" in listing(Pair("[b]", "", "[red]", "x"), width=80).plain


def test_wide_characters_stay_in_their_columns() -> None:
    rows = listing(Pair("u", "", "日本 a", "x b"), width=80).plain.splitlines()
    assert rows[1:3] == ["actual     日本 a", "predicted  x    b"]


def test_an_utterance_without_words_has_a_heading_alone() -> None:
    assert listing(Pair("u", "", "", ""), width=80).plain == "u: words 0, errors 0"


@given(TEXTS, TEXTS, st.integers(1, 100))
def test_no_word_is_lost_whatever_the_width(reference: str, hypothesis: str, width: int) -> None:
    rows = listing(Pair("u", "", reference, hypothesis), width).plain.splitlines()
    actual = " ".join(row.removeprefix("actual") for row in rows if row.startswith("actual"))
    predicted = " ".join(row.removeprefix("predicted") for row in rows if row.startswith("pred"))
    assert [word for word in actual.split() if set(word) != {"*"}] == reference.split()
    assert [word for word in predicted.split() if set(word) != {"*"}] == hypothesis.split()


@given(TEXTS, TEXTS, st.integers(22, 60))
def test_rows_fit_where_the_longest_word_does(reference: str, hypothesis: str, width: int) -> None:
    text = listing(Pair("u", "", reference, hypothesis), width)
    assert all(len(row) <= width for row in text.plain.splitlines()[1:])


@pytest.mark.parametrize(
    ("number", "ids"), [(0, ""), (1, "0"), (2, "03"), (3, "024"), (9, "012345")]
)
def test_listed_utterances_are_spread_over_the_corpus(number: int, ids: str) -> None:
    pairs = [Pair(str(place), "", "", "") for place in range(6)]
    assert "".join(pair.id for pair in evenly_spaced(pairs, number)) == ids
