from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainspeech.alphabet import ENGLISH, Alphabet, ctc_frames_needed
from plainspeech.errors import ConfigurationError, DataError

GERMAN = Alphabet(tuple(" abcdefghijklmnopqrstuvwxyzäöüß"))
alphabets = st.sampled_from([ENGLISH, GERMAN])
BLANK = 2


@given(st.text(st.sampled_from(ENGLISH.symbols)))
def test_what_is_encoded_is_decoded(text: str) -> None:
    ids = ENGLISH.encode(text)
    assert ENGLISH.decode(ids) == text
    assert all(0 <= index < ENGLISH.blank_id for index in ids)


@given(st.lists(st.integers(0, ENGLISH.blank_id)))
def test_the_blank_writes_nothing(ids: list[int]) -> None:
    assert ENGLISH.encode(ENGLISH.decode(ids)) == [i for i in ids if i != ENGLISH.blank_id]


def test_english_is_29_outputs_with_the_blank_last() -> None:
    assert (ENGLISH.size, ENGLISH.blank_id) == (29, 28)
    assert ENGLISH.encode("a z'") == [1, 0, 26, 27]


def test_foreign_characters_are_named() -> None:
    assert ENGLISH.foreign("Ab2b c") == "2A"
    with pytest.raises(DataError, match="text has '2A', which the alphabet does not"):
        ENGLISH.encode("Ab2b c")


@given(alphabets, st.text())
def test_normalised_text_can_be_written_and_stays(alphabet: Alphabet, text: str) -> None:
    found = alphabet.normalise(text)
    assert alphabet.foreign(found) == ""
    assert found == " ".join(found.split())
    assert alphabet.normalise(found) == found


@given(st.text(st.sampled_from(ENGLISH.symbols)))
def test_what_can_be_written_changes_in_its_spaces_alone(text: str) -> None:
    assert ENGLISH.normalise(text) == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Hello,\tWORLD! ", "hello world"),
        ("It’s d`accord", "it's d'accord"),
        ("café naïve Ångström", "cafe naive angstrom"),
        ("cafe\u0301", "cafe"),
        ("ﬁne № 2½", "fine no"),
        ("twenty-one", "twenty one"),
        ("日本", ""),
    ],
)
def test_normalisation(text: str, expected: str) -> None:
    assert ENGLISH.normalise(text) == expected


@pytest.mark.parametrize("text", ["Übergröße", "U\u0308bergro\u0308ße"])
def test_letters_with_accents_stay_where_the_alphabet_has_them(text: str) -> None:
    assert GERMAN.normalise(text) == "übergröße"
    assert GERMAN.normalise("café") == "cafe"


@pytest.mark.parametrize(
    ("symbols", "says"),
    [
        ((), "exactly one"),
        (("a", "bc"), "exactly one"),
        (("",), "exactly one"),
        (("a", "a"), "twice"),
        (("a", "\n"), "control character"),
        (("a", "\ud800"), "control character"),
    ],
)
def test_alphabets_that_cannot_be_are_refused(symbols: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Alphabet(symbols)


def test_alphabets_are_equal_by_their_symbols() -> None:
    assert Alphabet(("a", "b")) == Alphabet(("a", "b")) != Alphabet(("b", "a"))
    assert len({Alphabet(("a",)), Alphabet(("a",))}) == 1


def fewest_frames(ids: list[int]) -> int:
    """Try every path of every length until one writes ``ids``."""
    for frames in itertools.count():
        for path in itertools.product(range(BLANK + 1), repeat=frames):
            if [symbol for symbol, _ in itertools.groupby(path) if symbol != BLANK] == ids:
                return frames
    raise AssertionError


@pytest.mark.parametrize("length", range(5))
def test_frames_needed_are_those_of_the_shortest_path(length: int) -> None:
    for ids in itertools.product(range(BLANK), repeat=length):
        assert ctc_frames_needed(ids) == fewest_frames(list(ids))
