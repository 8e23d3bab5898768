"""Words that a lexicon lacks, in a lexicon of which a converter has learned."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from plainspeech.g2p import converter as module
from plainspeech.g2p import training
from plainspeech.g2p.converter import FEWEST, LexiconConverter
from plainspeech.pronunciations import Pronunciations, parse_pronunciations

PHONES = dict(
    zip(
        "abdefgiklmnoprstuz",
        ["AH", *"BD", "EH", *"FG", "IH", *"KLMN", "OW", *"PRST", "UW", "Z"],
        strict=True,
    )
)


def spelled(word: str) -> str:
    return " ".join(PHONES[letter] for letter in word)


WORDS = [
    "".join(letters) for letters in product("bdfgklmnprstz", "aeiou", "bdfgklmnprstz", "aeiou")
]
LEXICON = WORDS[: FEWEST + 10]
NEW = WORDS[FEWEST + 10 :]


def lexicon(words: list[str]) -> Pronunciations:
    lines = "".join(f"{word} {spelled(word)}\n" for word in words)
    found = parse_pronunciations(lines.encode(), Path("lexicon"))
    return replace(found, converter=LexiconConverter(found))


def sounds(found: Pronunciations, word: str) -> list[str]:
    return [" ".join(map(found.name, sound)) for sound in found.of(word)]


def never(*_: object) -> None:
    raise AssertionError("made again")


def test_a_word_that_the_lexicon_lacks_is_converted_from_its_letters() -> None:
    found = lexicon(LEXICON)
    new = NEW[-1]
    assert sounds(found, new) == [spelled(new)]
    assert sounds(found, LEXICON[0]) == [spelled(LEXICON[0])]
    assert found.encode(f"{LEXICON[0]} {new}") is not None


def test_a_letter_that_no_word_has_is_not_guessed() -> None:
    found = lexicon(LEXICON)
    assert sounds(found, "bayo") == []
    assert found.encode("bayo") is None


def test_a_word_that_is_expected_may_be_said_in_more_ways() -> None:
    found = lexicon(LEXICON)
    for word in NEW[-9:]:
        assert [*found.of(word, wide=True)][: len(found.of(word))] == [*found.of(word)]
    assert len(found.of(LEXICON[0], wide=True)) == 1


def test_few_words_teach_nothing() -> None:
    found = lexicon(LEXICON[: FEWEST - 1])
    assert sounds(found, NEW[0]) == []
    assert sounds(found, LEXICON[0]) == [spelled(LEXICON[0])]


def test_a_lexicon_is_completed_with_what_can_be_converted() -> None:
    found = lexicon(LEXICON)
    whole = found.completed([NEW[0], LEXICON[0], "bayo"])
    assert whole.words.keys() == {*LEXICON, NEW[0]}
    assert whole.words[NEW[0]] == found.of(NEW[0])
    assert found.completed(LEXICON) is found


def test_what_was_learned_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    first = [sounds(lexicon(LEXICON), word) for word in NEW[:20]]
    monkeypatch.setattr(training, "train", never)
    assert [sounds(lexicon(LEXICON), word) for word in NEW[:20]] == first
    with pytest.raises(AssertionError, match="made again"):
        sounds(lexicon(LEXICON[1:]), NEW[0])


def test_many_converted_words_are_kept_and_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    many = [*NEW, "bayo"]
    assert len(many) >= module._MANY
    first = lexicon(LEXICON).completed(many)
    assert len(first.words) == len(WORDS)
    said = [record.getMessage() for record in caplog.records]
    assert [line for line in said if f"converting {len(many)} words" in line] == said[-1:]
    monkeypatch.setattr(LexiconConverter, "_converted", never)
    assert lexicon(LEXICON).completed(many).words == first.words


def test_words_are_forgotten_rather_than_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 10)
    found = lexicon(LEXICON)
    drawn = np.random.default_rng(0).choice(NEW, 100).tolist()
    assert [sounds(found, word) for word in drawn] == [[spelled(word)] for word in drawn]
    assert isinstance(found.converter, LexiconConverter)
    assert len(found.converter._known) <= 10
