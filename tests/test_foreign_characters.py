"""What texts lose when they are folded to an alphabet is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from plainspeech.alphabet import LANGUAGES, Alphabet, find_alphabet
from plainspeech.cli import app
from plainspeech.foreign_characters import ForeignCharacters

alphabets = st.sampled_from([find_alphabet(language) for language in LANGUAGES])


def lines_of(*texts: str, language: str = "en") -> list[str]:
    foreign = ForeignCharacters(find_alphabet(language))
    for text in texts:
        foreign.add(text)
    return foreign.lines("line")


def test_letters_written_as_others_are_named_with_what_they_become() -> None:
    (line,) = lines_of("Über die Brücke", "Grüße, naïve", "plain")
    assert line.startswith(
        "2 lines have letters that the alphabet lacks, which were written as others: "
    )
    assert "ü as u, ß as ss, ï as i;" in line
    assert "ǽ as ae;" in lines_of("ǽ")[0]


def test_what_is_dropped_is_named_by_how_many_texts_have_it() -> None:
    (line,) = lines_of("in 1990", "at 9", "Привет, люди 9")
    assert "3 lines have characters that the alphabet lacks, which were dropped: 9, 0, 1, в" in line
    assert ", ...; spell out what is said" in line


@pytest.mark.parametrize(
    "text", ["“Quote” — it’s", "ﬁne ﬂat", "ｗｉｄｅ", "soft\u00adhyphen", "ʼtis"]
)
def test_other_forms_and_punctuation_are_nothing_lost(text: str) -> None:
    assert not lines_of(text)


def test_letters_of_the_language_are_not_foreign_in_any_case_or_composition() -> None:
    assert not lines_of("ÄÖÜ äöüß a\u0308", language="de")
    assert not lines_of("Iğdır İzmir", language="tr")


@given(alphabets, st.text())
def test_something_is_dropped_where_the_alphabet_loses_it_and_nowhere_else(
    alphabet: Alphabet, text: str
) -> None:
    foreign = ForeignCharacters(alphabet)
    foreign.add(text)
    dropped = any("which were dropped" in line for line in foreign.lines("line"))
    assert dropped == bool(alphabet.lost(text))


def test_preparing_says_what_transcripts_lose(tmp_path: Path) -> None:
    for name, text in (("a", "Über die Brücke"), ("b", "das Ende")):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(8000), 16_000)
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    prepare = ["data", "prepare", str(tmp_path), "-o", str(tmp_path / "all.jsonl")]

    english = CliRunner().invoke(app, prepare)
    german = CliRunner().invoke(app, [*prepare, "--alphabet", "de"])

    assert (english.exit_code, german.exit_code) == (0, 0)
    said = " ".join(english.stderr.split())
    assert (
        "1 transcript has letters that the alphabet lacks, which were written as others: ü as u;"
        in said
    )
    assert "alphabet lacks" not in german.stderr


def test_building_a_scorer_says_what_its_text_loses(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("für 1990\nder tag\n", encoding="utf-8")
    built = ["lm", "build", str(tmp_path / "text.txt"), "-o", str(tmp_path / "scorer")]
    result = CliRunner().invoke(app, [*built, "--order", "2", "--estimator", "builtin"])
    assert result.exit_code == 0, result.output
    said = " ".join(result.stderr.split())
    assert "1 line has characters that the alphabet lacks, which were dropped: 0, 1, 9;" in said
    assert (
        "1 line has letters that the alphabet lacks, which were written as others: ü as u;" in said
    )
