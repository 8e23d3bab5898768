"""Settings and scorers that the beam search refuses; see test_contract.py for its inputs."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from brute_force import random_rows
from toy_lm import random_lm

from plainspeech.alphabet import ENGLISH, Alphabet
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.errors import LanguageModelError, PlainspeechError

SMALL = Alphabet((" ", "a", "b"))
DECODER = BeamSearchDecoder(SMALL)
ROWS = random_rows(0, 20, SMALL.size)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("beam_width", -1),
        ("beam_width", 0),
        ("beam_width", 2.5),
        ("beam_threshold", 0.0),
        ("beam_threshold", np.nan),
        ("cutoff_prob", 0.0),
        ("cutoff_prob", 1.1),
        ("cutoff_top_n", 0),
        ("token_floor", 0.5),
        ("unknown_word_penalty", -1.0),
        ("prior_weight", 0.5),
        ("prior_weight", -0.5),
        ("prior_weight", np.nan),
        ("alpha", np.nan),
        ("beta", np.inf),
        ("alpha", 1e30),
        ("beta", -710.0),
        ("alpha", "0.5"),
        ("beam_threshold", None),
        ("unknown_word_penalty", np.inf),
        ("beam_width", 1 << 40),
        ("cutoff_top_n", True),
        ("merge", "words"),
        ("frame_seconds", 0.0),
        ("frame_seconds", "0.02"),
    ],
)
def test_a_setting_out_of_range_is_named(name: str, value: Any) -> None:
    with pytest.raises(PlainspeechError, match=f"^{name} is {re.escape(repr(value))}; it must be"):
        BeamSearchDecoder(SMALL, **{name: value})


@pytest.mark.parametrize("penalty", [650.0, 720.0, 740.0])
def test_a_factor_that_is_hardly_a_float_is_one_of_all_texts(penalty: float) -> None:
    """Nothing else is possible in these frames, which leave one text; its score is finite."""
    rows = np.full((9, 4), -np.inf, np.float32)
    rows[np.arange(9), [2, 3, 2, 3, 2, 3, 0, 3, 1]] = 0.0  # b, b, b, space, a, and blanks between
    lm = random_lm(3, ("a", "ab", "ba", "bab", "abba"))
    decoder = BeamSearchDecoder(SMALL, lm, unknown_word_penalty=penalty)
    (best, *_) = decoder.decode_n_best(rows, 1)
    assert best.transcript.text == "bbb a"
    assert best.score == pytest.approx(-penalty, abs=20)


def test_alphabet_and_scorer_must_fit() -> None:
    with pytest.raises(LanguageModelError, match=r"lexicon: no word .* the first is 'nan'"):
        BeamSearchDecoder(SMALL, random_lm(0, ("nan", "a7")))
    with pytest.raises(PlainspeechError, match="the alphabet has no space"):
        BeamSearchDecoder(Alphabet(("a", "b")), random_lm(0, ("ab",)))
    with pytest.raises(PlainspeechError, match="merge is 'state', which needs a scorer"):
        BeamSearchDecoder(SMALL, merge="state")


def test_numba_is_imported_by_those_who_search() -> None:
    program = (
        "import sys; import plainspeech, plainspeech.decoding.beam_search; "
        "sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_words_that_the_alphabet_lacks_are_left_out_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rows = random_rows(1, 30, SMALL.size)
    decoder = BeamSearchDecoder(SMALL, random_lm(0, ("ab", "na", "ba", "a7")))
    assert decoder.decode(rows).words
    (message,) = caplog.messages
    assert "the alphabet cannot write are left out: 2;" in message
    assert message.endswith("the first is 'na'")


def test_words_of_another_case_are_folded(caplog: pytest.LogCaptureFixture) -> None:
    rows = random_rows(2, 40, SMALL.size)
    folded = BeamSearchDecoder(SMALL, random_lm(0, ("AB", "B\u00c1", "ab")), alpha=2.0)
    plain = BeamSearchDecoder(SMALL, random_lm(0, ("x", "ba", "ab")), alpha=2.0)
    texts = [each.decode_n_best(rows, 5) for each in (folded, plain)]
    # The word as it is written comes before one that is folded to it.
    assert texts[0] == texts[1]
    assert len(caplog.messages) == 1


def test_a_model_with_more_words_than_probabilities_is_refused() -> None:
    lm = random_lm(0, ("a", "ab"))

    class Longer:
        vocabulary = (*lm.vocabulary, "abb", "bab")
        tables, order, alpha, beta = lm.tables, lm.order, lm.alpha, lm.beta

    with pytest.raises(LanguageModelError, match="7 words, but probabilities of 5"):
        BeamSearchDecoder(ENGLISH, Longer())
