"""What counts as the same word."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from conftest import Plainspeech
from plainspeech.alphabet import ENGLISH, find_alphabet
from plainspeech.arrays import Array
from plainspeech.errors import DataError
from plainspeech.evaluation.conventions import LIBRISPEECH, Convention, read_variants
from plainspeech.numbers import Numbers

SAID = "It’s 25 Colours, Zoë."


@pytest.mark.parametrize(
    ("convention", "written", "description"),
    [
        (Convention(), "it's colours zoe", "LibriSpeech's"),
        (Convention(case=True), "It's Colours Zoe", "LibriSpeech's, but case counts"),
        (
            Convention(punctuation=True),
            "it's colours, zoe.",
            "LibriSpeech's, but punctuation counts",
        ),
        (
            Convention(apostrophes=False),
            "its colours zoe",
            "LibriSpeech's, but apostrophes do not count",
        ),
        (
            Convention(variants={"25": "twenty five", "colours": "colors"}),
            "it's twenty five colors zoe",
            "LibriSpeech's, but variants of words: 2",
        ),
        (
            Convention(numbers="digits"),
            "it's 25 colours zoe",
            "LibriSpeech's, but numbers in digits",
        ),
    ],
)
def test_a_reference_is_written_by_the_convention(
    convention: Convention, written: str, description: str
) -> None:
    assert convention.reference(SAID, ENGLISH) == written
    assert convention.description == description


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Twenty-five men, 3 boys.", "25 men three boys"),
        ("£ 10,000 (ten thousand)", "ten thousand 10000"),
        ("On May 3rd, at 7:30", "on may third at seven thirty"),
        ("25 per cent of $21", "twenty five percent of twenty one dollars"),
        ("In 1914–15: covid-19", "in 1914 15 covid nineteen"),
        ("The 21st, in 1984!", "the twenty first in nineteen eighty four"),
    ],
)
def test_numbers_in_words_and_in_digits_are_the_same(one: str, other: str) -> None:
    convention = Convention(numbers="digits")
    written = convention.reference(one, ENGLISH)
    assert any(character.isdigit() for character in written)
    assert convention.hypothesis(other, ENGLISH) == written
    assert Convention().reference(one, ENGLISH) != other


def test_punctuation_and_case_may_count_beside_numbers() -> None:
    strict = Convention(case=True, punctuation=True, numbers="digits")
    assert strict.reference("Well-known: twenty-one (10,000).", ENGLISH) == (
        strict.hypothesis("Well-known: 21 (ten thousand).", ENGLISH)
    )
    assert strict.reference("In 21, he", ENGLISH) == "In 21, he"


@given(st.text())
def test_librispeechs_is_the_alphabets(text: str) -> None:
    assert LIBRISPEECH.reference(text, ENGLISH) == ENGLISH.normalise(text)
    assert LIBRISPEECH.hypothesis(text, ENGLISH) == text


@given(
    st.text(ENGLISH.symbols),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["words", "digits"]),
)
def test_what_is_the_same_stays_the_same(
    text: str, case: bool, punctuation: bool, apostrophes: bool, numbers: Numbers
) -> None:
    convention = Convention(case, punctuation, apostrophes, {"a": "b c"}, numbers)
    said = " ".join(text.split())
    assert convention.reference(said, ENGLISH) == convention.hypothesis(said, ENGLISH)


def test_apostrophes_of_any_alphabet_need_not_count() -> None:
    curly = find_alphabet("abcdefghijklmnopqrstuvwxyz\u2019")
    assert Convention(apostrophes=False).reference("It's \u2018it\u2019", curly) == "its it"
    assert Convention(apostrophes=False).hypothesis("it\u2019s it", curly) == "its it"


def test_what_is_not_seen_parts_no_words() -> None:
    # A soft hyphen, and a letter with an accent for which Unicode has no single character.
    assert Convention(case=True).reference("Do\u00adnau, n\u0308a", ENGLISH) == "Donau na"


def test_variants_are_read(tmp_path: Path) -> None:
    path = tmp_path / "variants.txt"
    path.write_text("colours colors\n# numbers\n\n25  Twenty five\n", encoding="utf-8-sig")
    assert read_variants(path) == {"colours": "colors", "25": "twenty five"}
    # Decomposed, as macOS writes them: an umlaut is a letter and a mark after it.
    path.write_text(unicodedata.normalize("NFD", "Größe Grösse\n"), encoding="utf-8")
    convention = Convention(variants=read_variants(path))
    assert convention.reference("Größe!", find_alphabet("de")) == "grösse"
    path.write_text("colours colors\nalone\n")
    with pytest.raises(DataError, match=r"variants\.txt, line 2: must be a word"):
        read_variants(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_variants(tmp_path / "none")


def test_the_convention_stands_beside_the_figure(
    plainspeech: Plainspeech, tone_bundle: Path, spoken: Callable[..., Array], tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "a.wav", spoken("its color"), 16_000)
    (tmp_path / "m.jsonl").write_text('{"audio": "a.wav", "text": "it\'s colour", "id": "1-1"}\n')
    (tmp_path / "v.txt").write_text("colour color\n")
    rates = []
    for options in (
        [],
        ["--ignore-apostrophes"],
        ["--variants", tmp_path / "v.txt"],
        ["--numbers", "digits"],
    ):
        out = tmp_path / "out.json"
        arguments = [tone_bundle, tmp_path / "m.jsonl", "--json", out, *options]
        assert plainspeech("evaluate", *arguments)[0] == 0
        found = json.loads(out.read_text())
        rates.append((found["words"]["rate"], found["convention"]))
    assert rates == [
        (1.0, "LibriSpeech's"),
        (0.5, "LibriSpeech's, but apostrophes do not count"),
        (0.5, "LibriSpeech's, but variants of words: 1"),
        (1.0, "LibriSpeech's, but numbers in digits"),
    ]
    status, errors = plainspeech(
        "evaluate", tone_bundle, tmp_path / "m.jsonl", "--explain", "--numbers", "digits"
    )
    assert (status, errors.count("\n")) == (1, 1)
    assert "explain: explains errors by LibriSpeech's convention" in errors
    status, errors = plainspeech("model", "record", tone_bundle, out, "--data", "x")
    assert (status, errors.count("\n")) == (1, 1)
    assert "another convention" in errors
