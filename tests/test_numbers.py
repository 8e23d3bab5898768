"""Numbers in digits: against a speller, both ways."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainspeech.numbers import (
    _SMALL,
    _TENS,
    comparable,
    in_digits,
    rewritten,
    text_in_digits,
)
from plainspeech.transcript import Alternative, Segment, Word


def spell(number: int, joined: bool) -> str:
    """Return ``number`` in words, with "and" as in British English if it is ``joined``."""
    for name, scale in (("trillion", 10**12), ("billion", 10**9), ("million", 10**6)):
        if number >= scale:
            return _both(spell(number // scale, joined), name, number % scale, joined)
    if number >= 1000:
        return _both(spell(number // 1000, joined), "thousand", number % 1000, joined)
    if number >= 100:
        return _both(_SMALL[number // 100], "hundred", number % 100, joined)
    if number >= 20:
        return f"{_TENS[number // 10 - 2]} {_SMALL[number % 10] if number % 10 else ''}".strip()
    return _SMALL[number]


def _both(head: str, name: str, rest: int, joined: bool) -> str:
    if not rest:
        return f"{head} {name}"
    return f"{head} {name} {'and ' if joined and rest < 100 else ''}{spell(rest, joined)}"


@given(st.one_of(st.integers(10, 10**5), st.integers(10, 10**15 - 1)), st.booleans())
def test_what_is_spelled_is_read(number: int, joined: bool) -> None:
    expected = f"{number:,}" if number >= 10_000 else str(number)
    assert text_in_digits(f"there were {spell(number, joined)} of them") == (
        f"there were {expected} of them"
    )


@given(st.integers(1300, 2099).filter(lambda year: year % 100 >= 10))
def test_years_are_read_in_halves(year: int) -> None:
    halves = f"{spell(year // 100, False)} {spell(year % 100, False)}"
    assert text_in_digits(f"in {halves}") == f"in {year}"


@given(st.lists(st.integers(0, 9), min_size=3, max_size=12))
def test_digits_read_out_are_digits(digits: list[int]) -> None:
    read = text_in_digits("call " + " ".join(_SMALL[digit] for digit in digits))
    assert read == "call " + "".join(map(str, digits))


@given(st.integers(0, 10**15 - 1), st.booleans(), st.sampled_from(["", " percent", " dollars"]))
def test_words_and_digits_compare_alike(number: int, joined: bool, unit: str) -> None:
    spelled = comparable(f"about {spell(number, joined)}{unit}, it was said")
    assert spelled == comparable(f"about {number}{unit}, it was said")
    assert spelled == comparable(f"about {number:,}{unit}, it was said")
    assert spelled == comparable(spelled)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Twenty-five, her 3 and 4th", "25, her three and fourth"),
        ("3 million", "3000000"),
        ("half past 7 is 7:30", "7:30 is 7:30"),
        ("5 % of -5", "5% of -5"),
        ("May 3", "May three"),
        ("an mp3 of 3.14 and 1,5", "an mp3 of 3.14 and 1,5"),
    ],
)
def test_numbers_to_compare(text: str, form: str) -> None:
    assert comparable(text) == form


@given(st.text("abcdefghijklmnopqrstuvwxyz' ", max_size=60))
def test_other_text_stays(text: str) -> None:
    words = text.split()
    spans = list(rewritten(words))
    assert all(left.last <= right.first for left, right in itertools.pairwise(spans))
    if not spans:
        assert text_in_digits(text) == " ".join(words)


WORDS = [*_SMALL, *_TENS, "hundred", "thousand", "and", "point", "oh", "minus", "percent", "first"]
WORDS += ["may", "the", "of", "half", "past", "to", "at", "p", "m", "o'clock", "dollars", "third"]


@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_any_words_are_read_once(words: list[str]) -> None:
    once = text_in_digits(" ".join(words))
    assert text_in_digits(once) == once or "%" in once or any(c.isdigit() for c in once)


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("one of the two", "one of the two"),
        ("wait a second", "wait a second"),
        ("the first of them", "the first of them"),
        ("the twenty first century", "the 21st century"),
        ("one hundred and third", "103rd"),
        ("minus five point two five", "-5.25"),
        ("eighteen oh five", "1805"),
        ("nineteen hundred", "1900"),
        ("two thousand and nine", "2009"),
        ("call four oh seven one", "call 4071"),
        ("five six", "five six"),
        ("twenty thirty forty", "twenty thirty forty"),
        ("ten and twenty", "10 and 20"),
        ("a hundred thousand", "a hundred thousand"),
        ("five percent or ten per cent", "5% or 10%"),
        ("twenty thousand dollars", "$20,000"),
        ("the third of may nineteen forty", "3 may 1940"),
        ("on may twenty third", "on may 23"),
        ("he may come second", "he may come second"),
        ("half past seven", "7:30"),
        ("quarter to one", "12:45"),
        ("at six thirty", "at 6:30"),
        ("six oh five p m", "6:05 p m"),
        ("seven o'clock", "7 o'clock"),
        ("from ten to six", "from 10 to six"),
        ("at twenty", "at 20"),
        ("", ""),
    ],
)
def test_examples(said: str, written: str) -> None:
    assert text_in_digits(said) == written


def test_a_number_lasts_as_long_as_its_words() -> None:
    words = tuple(
        Word(text, place, place + 0.5, 0.9 - place / 10)
        for place, text in enumerate(["in", "nineteen", "eighty", "four", "it"])
    )
    segment = in_digits(Segment(words, (Alternative("twenty one", -1.0),), channel=2))
    assert segment.text == "in 1984 it"
    number = segment.words[1]
    assert (number.text, number.start, number.end) == ("1984", 1, 3.5)
    assert number.confidence == pytest.approx(0.6)
    assert (segment.n_best[0].text, segment.channel) == ("21", 2)
