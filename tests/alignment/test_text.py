from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainspeech.alignment.text import parse_text
from plainspeech.alphabet import ENGLISH, Alphabet
from plainspeech.errors import DataError


def test_sentences_end_at_their_punctuation() -> None:
    text = parse_text("“Well,” said Mr. Smith--he\nknew!  “So?”\n\nA heading\n\nThe end.", ENGLISH)
    words = [word.text for word in text.words]
    assert words[:6] == ["“Well,”", "said", "Mr.", "Smith--", "he", "knew!"]
    assert [ENGLISH.decode(word.ids) for word in text.words][:4] == ["well", "said", "mr", "smith"]
    assert text.sentence_ends == (6, 7, 9, 11)


def test_lines_are_sentences_where_there_is_no_punctuation() -> None:
    assert parse_text("ONE TWO\nTHREE\n\n", ENGLISH).sentence_ends == (2, 3)


def test_words_that_the_alphabet_lacks_are_kept() -> None:
    text = parse_text("In 1865 - the 2nd of мая, café.", ENGLISH)
    assert [word.text for word in text.words if not word.ids] == ["1865 -", "2nd", "мая,"]
    assert text.foreign == "12568амя"
    assert ENGLISH.decode(text.words[-1].ids) == "cafe"
    with pytest.raises(DataError, match="has no word that the model's alphabet can write"):
        parse_text("1865 – 1914", ENGLISH)
    cyrillic = Alphabet((" ", *"абвгдежзийклмнопрстуфхцчшщъыьэюя"))
    assert all(word.ids for word in parse_text("Это было в мае.", cyrillic).words)


@given(st.text())
def test_any_text_is_words_in_sentences_or_an_error(given_text: str) -> None:
    try:
        text = parse_text(given_text, ENGLISH)
    except DataError:
        return
    assert text.sentence_ends[-1] == len(text.words)
    assert list(text.sentence_ends) == sorted(set(text.sentence_ends))
