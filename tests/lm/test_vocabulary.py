"""A vocabulary is the list of words that it stands for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainspeech.lm.tables import SPECIAL_WORDS
from plainspeech.lm.vocabulary import Vocabulary, digest_of

WORDS = st.lists(st.text(st.characters(exclude_characters="\n", codec="utf-8"), max_size=4))


@given(WORDS, st.slices(12), st.integers(-12, 12))
def test_it_is_as_a_list_of_the_words(words: list[str], part: slice, place: int) -> None:
    vocabulary = Vocabulary("".join(f"{word}\n" for word in words).encode())
    expected = [*SPECIAL_WORDS, *words]
    assert (list(vocabulary), len(vocabulary)) == (expected, len(expected))
    assert vocabulary[part] == expected[part]
    assert list(reversed(vocabulary)) == expected[::-1]
    assert vocabulary == expected
    assert vocabulary != [*expected, "more"]
    assert digest_of(vocabulary) == digest_of(expected)
    if -len(expected) <= place < len(expected):
        assert vocabulary[place] == expected[place]
    else:
        with pytest.raises(IndexError, match="words"):
            vocabulary[place]


def test_what_is_no_text_is_replaced_as_in_the_whole() -> None:
    lines = b"caf\xe9\n\xe2\x82\nword\nunfinished"
    vocabulary = Vocabulary(lines)
    assert vocabulary[len(SPECIAL_WORDS) :] == lines.decode(errors="replace").split("\n")[:-1]
    assert vocabulary[-1] == "word"


def test_many_are_gone_through_in_order() -> None:
    words = list(map(str, range(2_500)))
    vocabulary = Vocabulary("".join(f"{word}\n" for word in words).encode())
    assert list(vocabulary) == [*SPECIAL_WORDS, *words]
