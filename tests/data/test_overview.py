"""What ``data check`` tells of the amount of a corpus and of what never occurs in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from plainspeech.alphabet import find_alphabet
from plainspeech.data.manifest import Utterance
from plainspeech.data.overview import overview, usual


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
