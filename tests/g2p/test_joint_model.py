"""Conversion from letters to phones, against the enumeration of all that a model can say."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainspeech.errors import DataError
from plainspeech.g2p.joint_model import LONGEST, JointModel, Unit
from plainspeech.g2p.training import train
from plainspeech.lm.tables import EOS_ID, SPECIAL_WORDS, score_word

# What is written "sh" sounds as one phone, "x" as two, "e" at the end as none.
SOUNDS = {"s": "S", "h": "H", "sh": "F", "t": "T", "x": "KS"}
NEW = {"shax": "FAKS", "xat": "KSAT", "sate": "SAT", "tax": "TAKS"}
LEXICON = [
    (f"{first}a{last}{end}", f"{SOUNDS[first]}A{SOUNDS[last]}")
    for first in SOUNDS
    for last in SOUNDS
    for end in ("", "e")
    if f"{first}a{last}{end}" not in NEW
]

words = st.text("abc", min_size=1, max_size=3)
lexicons = st.lists(
    st.tuples(words, st.text("XYZ", min_size=1, max_size=4)), min_size=1, max_size=8
)
EXACT: dict[str, Any] = {"width": 2_000, "threshold": math.inf}


def cuts(word: str, units: list[Unit]) -> Iterator[list[int]]:
    """Yield the ids of all sequences of units with the letters of ``word``."""
    if not word:
        yield []
    for index, (letters, _) in enumerate(units, len(SPECIAL_WORDS)):
        if word.startswith(letters):
            yield from ([index, *rest] for rest in cuts(word[len(letters) :], units))


def said(word: str, model: JointModel) -> dict[str, float]:
    """Return the probability of each pronunciation together with ``word``."""
    found: dict[str, float] = {}
    for cut in cuts(word, list(model.units)):
        state, total = int(model.tables.bos_state), 0.0
        for unit in [*cut, EOS_ID]:
            gained, state = score_word(model.tables, int(state), unit)
            total += float(gained)
        sound = "".join(model.units[unit - len(SPECIAL_WORDS)][1] for unit in cut)
        found[sound] = found.get(sound, 0.0) + math.exp(total)
    return {sound: p for sound, p in found.items() if sound}


def known(model: JointModel) -> set[str]:
    return {letters for letters, sound in model.units if len(letters) == 1 and sound}


@settings(max_examples=40, deadline=None)
@given(lexicons, words)
def test_the_best_of_all_pronunciations_are_found(
    lexicon: list[tuple[str, str]], word: str
) -> None:
    model = train([*lexicon, ("c", "Z")])
    if not known(model) >= set(word):
        assert model.n_best([word], 3) == [[]]
        return
    every = said(word, model)

    (found,) = model.n_best([word], 4, **EXACT)

    assert [each.score for each in found] == pytest.approx(
        [math.log(p) for p in sorted(every.values(), reverse=True)[:4]], abs=1e-3
    )
    for each in found:
        assert each.score == pytest.approx(math.log(every[each.sound]), abs=1e-3)


@settings(max_examples=40, deadline=None)
@given(lexicons, st.lists(st.text("abc", min_size=1, max_size=9), min_size=1, max_size=5))
def test_every_word_of_known_letters_has_a_pronunciation_the_same_each_time(
    lexicon: list[tuple[str, str]], asked: list[str]
) -> None:
    model, again = train([*lexicon, ("c", "Z")]), train([*lexicon, ("c", "Z")])
    found = model.pronounce(asked, 3, 0.1)
    for word, sounds in zip(asked, found, strict=True):
        assert bool(sounds) == (known(model) >= set(word))
        assert len(set(sounds)) == len(sounds) <= 3
        assert all(sounds)
    assert again.pronounce(asked, 3, 0.1) == found
    assert [model.pronounce([word], 3, 0.1)[0] for word in asked] == found
    narrow = model.n_best(asked, 1, width=1)
    assert [bool(best) for best in narrow] == [bool(sounds) for sounds in found]


def test_spelling_is_learned() -> None:
    model = train(LEXICON)
    assert [sounds[0] for sounds in model.pronounce([*NEW], 1, 0.0)] == [*NEW.values()]


def test_less_probable_pronunciations_are_left_out() -> None:
    model = train([("a", "X")] * 9 + [("a", "Y")] * 3 + [("b", "Z")])
    assert model.pronounce(["a"], 3, 0.0)[0][:2] == ("X", "Y")
    assert model.pronounce(["a"], 1, 0.0) == [("X",)]
    assert model.pronounce(["a"], 3, 0.9) == [("X",)]


@pytest.mark.parametrize("word", ["", "q", "aq", "a b", "a" * (LONGEST + 1)])
def test_what_is_no_word_of_known_letters_has_none(word: str) -> None:
    model = train(LEXICON)
    assert model.pronounce(["tas", word, "hash"], 1, 0.0) == [("TAS",), (), ("HAF",)]


def test_a_lexicon_of_other_letters_is_refused() -> None:
    with pytest.raises(DataError, match="no pronunciation has"):
        train([("書", "SHU")])


def test_letters_of_any_script_are_learned() -> None:
    sounds = {"м": "M", "и": "I", "р": "R", "а": "A"}
    spelled = map("".join, product(sounds, repeat=3))
    model = train(
        [(word, "".join(map(sounds.__getitem__, word))) for word in spelled if word != "мим"]
    )
    assert model.pronounce(["мим"], 1, 0.0) == [("MIM",)]


def test_many_words_are_converted_as_one_is() -> None:
    model = train(LEXICON)
    drawn = np.random.default_rng(0).choice(list("ashtxe"), (600, 4))
    asked = ["".join(letters) for letters in drawn.tolist()]
    assert model.pronounce(asked, 2, 0.1) == [model.pronounce([w], 2, 0.1)[0] for w in asked]
