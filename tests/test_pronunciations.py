from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from plainspeech.alphabet import find_alphabet
from plainspeech.errors import DataError
from plainspeech.pronunciations import BOUNDARY, read_pronunciations

LEXICON = """;;; of few words
# and comments
the DH AH0
THE(2) DH IY0
cat K AE1 T # an animal

sat S AE1 T
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "lexicon.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_words_have_phones_without_stress_the_usual_pronunciation_first(tmp_path: Path) -> None:
    lexicon = read_pronunciations(written(tmp_path, LEXICON))

    assert lexicon.phones == ("AE", "AH", "DH", "IY", "K", "S", "T")
    spoken = {
        word: [" ".join(map(lexicon.name, sound)) for sound in known]
        for word, known in lexicon.words.items()
    }
    assert spoken == {"the": ["DH AH", "DH IY"], "cat": ["K AE T"], "sat": ["S AE T"]}
    assert lexicon.size == len(lexicon.phones) + 2


def test_a_byte_order_mark_is_no_part_of_the_first_word(tmp_path: Path) -> None:
    lexicon = read_pronunciations(written(tmp_path, f"\ufeff{LEXICON}"))
    assert lexicon == read_pronunciations(written(tmp_path, LEXICON))


def test_a_text_is_the_phones_of_its_words_with_boundaries_between(tmp_path: Path) -> None:
    lexicon = read_pronunciations(written(tmp_path, LEXICON))

    the, cat = lexicon.encode("the"), lexicon.encode("cat")

    assert the == [1 + lexicon.phones.index(phone) for phone in ("DH", "AH")]
    assert cat == [1 + lexicon.phones.index(phone) for phone in ("K", "AE", "T")]
    assert lexicon.encode("the cat") == [*the, BOUNDARY, *cat]
    assert lexicon.encode("") == []
    assert lexicon.encode("the dog") is None


def test_stress_alone_makes_no_second_pronunciation(tmp_path: Path) -> None:
    lexicon = read_pronunciations(written(tmp_path, "an AE0 N\nan(2) AE1 N\n"))

    assert len(lexicon.words["an"]) == 1


def test_accents_are_composed_as_alphabets_have_them(tmp_path: Path) -> None:
    # macOS and some editors write an umlaut as a letter and a mark after it.
    decomposed = unicodedata.normalize("NFD", "größe G R ø S ə\nçà ç à\n")
    lexicon = read_pronunciations(written(tmp_path, decomposed))
    assert [*lexicon.words] == ["größe", "çà"]
    assert find_alphabet("de").normalise("GRÖßE") in lexicon.words
    assert lexicon.phones == ("G", "R", "S", "à", "ç", "ø", "ə")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no pronunciation is in it"),
        ("# nothing\n", "no pronunciation is in it"),
        ("the DH AH\ncat\n", "line 2: 'cat' has no phones"),
    ],
)
def test_what_is_no_lexicon_is_refused(text: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=fault):
        read_pronunciations(written(tmp_path, text))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.txt: cannot read"):
        read_pronunciations(tmp_path / "absent.txt")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="binary: cannot read"):
        read_pronunciations(binary)
