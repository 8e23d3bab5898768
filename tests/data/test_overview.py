"""What ``data check`` tells of the amount of a corpus and of what never occurs in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from plainspeech.alphabet import find_alphabet
from plainspeech.data.manifest import Utterance
from plainspeech.data.overview import overview, uncounted, usual


def test_amounts_letters_and_words() -> None:
    train = [
        Utterance("1", Path("1.wav"), "abcdefghijklmnop", 60.0, "a"),
        Utterance("2", Path("2.wav"), "rstuvwxyz b", 30.0, "b"),
    ]
    dev = [Utterance("3", Path("3.wav"), "b it's b new", 3.0)]
    assert list(overview(["train", "dev"], [train, dev], find_alphabet("en"))) == [
        "train: 1.5 min in 2 recordings of 2 speakers, 3 different words",
        "dev: 0.1 min in 1 recording of unknown speakers, 3 different words",
        f"train is {usual(1.5)}",
        'letters that never occur in train: "q\'"',
        "2 of the 3 different words of dev never occur in train: it's, new",
    ]


def test_what_was_said_and_does_not_count() -> None:
    english = find_alphabet("en")
    texts = ["Room 19, please!", "it\u2019s a caf\u00e9", "\u044f and 7"]
    assert uncounted("dev", texts, english) == (
        "dev: 2 of 3 texts have characters that the model's alphabet lacks ('179\u044f'): what was "
        "said there does not count; spell it out ('plainspeech data prepare' names each)"
    )
    assert "dev: 1 of 3 texts" in uncounted("dev", texts, english, digits=True)
    assert uncounted("dev", texts[1:2], english) == ""
    assert (
        "('\u0430\u0431\u0432\u0433\u0434\u0435\u0436\u0437\u0438\u043a' and others)"
        in uncounted(
            "dev", ["\u0430\u0431\u0432\u0433\u0434\u0435\u0436\u0437\u0438\u043a\u043b"], english
        )
    )


@pytest.mark.parametrize(
    ("minutes", "says"),
    [
        (0.5, "too little"),
        (10, "plainspeech adapt"),
        (120, 'initial = "bundled"'),
        (600, "a quarter with a language model"),
        (6000, "23.6 %"),
    ],
)
def test_what_is_usual_for_as_much(minutes: float, says: str) -> None:
    assert says in usual(minutes)
