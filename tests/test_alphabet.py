from __future__ import annotations

import itertools
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainspeech.alphabet import (
    ENGLISH,
    LANGUAGES,
    Alphabet,
    ctc_frames_needed,
    find_alphabet,
)
from plainspeech.errors import ConfigurationError, DataError

GERMAN = Alphabet(tuple(" abcdefghijklmnopqrstuvwxyzäöüß"))
CAPITALS = Alphabet(tuple(" ABCDEFGHIJKLMNOPQRSTUVWXYZ\u2019"))
BOTH = Alphabet(tuple(" aAbBcCéÉ\u0301"))
alphabets = st.sampled_from([ENGLISH, GERMAN, CAPITALS, BOTH, *map(find_alphabet, LANGUAGES)])
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
        ("donau\u00addampf\u00adschiff", "donaudampfschiff"),  # of e-books and web pages
        ("\ufeffwo\u200drd\u200e", "word"),
        ("zero\u200bwidth", "zero width"),
    ],
)
def test_normalisation(text: str, expected: str) -> None:
    assert ENGLISH.normalise(text) == expected


@pytest.mark.parametrize("text", ["Übergröße", "U\u0308bergro\u0308ße"])
def test_letters_with_accents_stay_where_the_alphabet_has_them(text: str) -> None:
    assert GERMAN.normalise(text) == "übergröße"
    assert GERMAN.normalise("café") == "cafe"


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("de", "»Große Äpfel«, sagt Zoë.", "große äpfel sagt zoe"),
        ("en", "Straße, Øre, cœur: Don’t!", "strasse ore coeur don't"),
        ("es", "¿Qué? ¡El Niño, cigüeña y àlgebra!", "qué el niño cigüeña y algebra"),
        ("fr", "L’œuvre de Noël — « peut-être » où ?", "l'oeuvre de noël peut être où"),
        ("it", "È più d’un caffè; perché?", "è più d'un caffè perché"),
        ("pl", "Zażółć gęślą jaźń", "zażółć gęślą jaźń"),
        ("pt", "À manhã, avô e avó: ÇÃO", "à manhã avô e avó ção"),
        ("ru", "Ещё раз: кто-то, по́лночь. Й", "еще раз кто то полночь й"),
        ("sv", "Åsa äter på café", "åsa äter på café"),
        ("tr", "DIŞ İŞ Ilık", "dış iş ılık"),
        ("uk", "М’ята, Її ґанок; обʼєкт", "м'ята її ґанок об'єкт"),
    ],
)
def test_normalisation_of_each_language(language: str, text: str, expected: str) -> None:
    alphabet = find_alphabet(language)
    for form in ("NFC", "NFD", "NFKC"):
        assert alphabet.normalise(unicodedata.normalize(form, text)) == expected
    assert alphabet.lost(text) == ""


def test_the_case_is_that_of_the_alphabet() -> None:
    assert CAPITALS.normalise("it's Straße, Ångström ﬁ") == "IT\u2019S STRASSE ANGSTROM FI"
    assert BOTH.normalise("Ab cÁ É Œ x") == "Ab cA\u0301 É"


@pytest.mark.parametrize(
    ("language", "text", "lost"),
    [
        ("en", "Call 19, я — 日! ½ café", "129я日"),
        ("ru", "Набрать №1 в IVR", "1irvNo"),
        ("fr", "œuvre du 8e, Ωμέγα ﷼", "8αγμωέریال"),
    ],
)
def test_spoken_characters_that_an_alphabet_lacks_are_named(
    language: str, text: str, lost: str
) -> None:
    assert find_alphabet(language).lost(text) == "".join(sorted(lost))


@given(alphabets, st.text())
def test_where_nothing_is_lost_every_letter_and_digit_is_written(
    alphabet: Alphabet, text: str
) -> None:
    if not alphabet.lost(text):
        spoken = sum(c.isalnum() for c in unicodedata.normalize("NFC", text))
        assert sum(c.isalnum() for c in alphabet.normalise(text)) >= spoken


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_letters_of_a_language_are_its_symbols_after_the_space(language: str) -> None:
    alphabet = find_alphabet(language)
    assert alphabet.text == " " + LANGUAGES[language]
    assert alphabet.normalise(LANGUAGES[language]) == LANGUAGES[language]


def test_alphabets_are_named_by_language_file_or_letters(tmp_path: Path) -> None:
    assert find_alphabet("en") == ENGLISH
    assert find_alphabet("abcd' ").text == " abcd'"
    assert find_alphabet("e\u0301abc").text == " éabc"
    deepspeech = "# a comment\n \na\nb\n\\#\nе\r\n'\n# the last line\n"
    (tmp_path / "alphabet.txt").write_text(deepspeech, encoding="utf-8-sig")
    assert find_alphabet("alphabet.txt", tmp_path).text == " ab#е'"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("sp", "there is no language 'sp': name one of de, en, es"),
        ("", "no language ''"),
        ("absent.txt", "absent.txt: cannot read the alphabet"),
        ("~nobody here/a.txt", "a.txt: cannot read the alphabet"),
        ("words.txt", "words.txt, line 2: 'bc' is not one letter"),
        ("abca", "twice"),
    ],
)
def test_what_names_no_alphabet_is_refused(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "words.txt").write_text("a\nbc\n")
    with pytest.raises(ConfigurationError, match=says):
        find_alphabet(name, tmp_path)


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
