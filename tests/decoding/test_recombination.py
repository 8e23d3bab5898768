"""Texts that a search has merged with others, which it finds again in the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from brute_force import random_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_lm import random_lm

from plainspeech.alphabet import Alphabet
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.hot_words import HotWords
from plainspeech.decoding.kernels.forward import score_alignments
from plainspeech.decoding.text_scores import acoustic_score

SMALL = Alphabet((" ", "a", "b"))
SPACELESS = Alphabet(("a", "b", "c"))
WORD_MODEL = ("a", "ab", "ba", "bab")
CHARACTER_MODEL = ("a", "b", "|")
HOT = {"ab ba": 2.0, "bb": 3.0, "a": -1.0}
WIDE: dict[str, Any] = {
    "beam_width": 4000,
    "beam_threshold": np.inf,
    "token_floor": -np.inf,
}
seeds = st.integers(0, 2**32 - 1)
models = st.sampled_from([WORD_MODEL, CHARACTER_MODEL])


@settings(deadline=None)
@given(seeds, st.integers(1, 5), models, st.sampled_from([HOT, {}]))
def test_the_texts_are_those_of_a_search_that_merges_none(
    seed: int, frames: int, words: tuple[str, ...], hot_words: HotWords
) -> None:
    rows, lm = random_rows(seed, frames, SMALL.size), random_lm(seed, words)
    decoder = BeamSearchDecoder(SMALL, lm, unknown_word_penalty=1.5, **WIDE)
    apart = decoder.with_settings(merge="prefix")
    every = {each.transcript.text: each for each in apart.decode_n_best(rows, 10_000, hot_words)}

    found = decoder.decode_n_best(rows, 10_000, hot_words)

    assert found[0].transcript.text == decoder.decode(rows, hot_words).text
    assert [each.score for each in found] == sorted((e.score for e in found), reverse=True)
    texts = {each.transcript.text for each in found}
    assert len(texts) == len(found)
    assert texts <= set(every)
    assert len(texts) >= 0.8 * len(every)
    if words == CHARACTER_MODEL:
        return  # It scores a space at the end, which is not shown.
    for each in found:
        other = every[each.transcript.text]
        assert each.lm_score == pytest.approx(other.lm_score, abs=1e-4)
        assert each.hot_word_score == pytest.approx(other.hot_word_score, abs=1e-4)
        assert each.score <= other.score + 1e-3


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 60))
def test_a_list_is_as_long_as_is_asked_for(seed: int, count: int) -> None:
    rows, lm = random_rows(seed, 20, SMALL.size), random_lm(seed, WORD_MODEL)
    decoder = BeamSearchDecoder(SMALL, lm, beam_width=20, beam_threshold=30.0)
    found = decoder.decode_n_best(rows, count)
    assert len({each.transcript.text for each in found}) == len(found)
    assert min(count, 20) <= len(found) <= count
    assert found[0].transcript == decoder.decode(rows)


def score_of(rows: Any, symbols: list[int], space: int, trailing: bool) -> float:
    written = np.array([*symbols, *([space] if symbols and trailing else [])], np.int32)
    scratch, score = np.zeros((2, len(written) + 1)), np.empty(1)
    probabilities = np.exp(rows, dtype=np.float64)
    blanks, writes = scratch
    score_alignments(probabilities, written, len(symbols), space, blanks, writes, score)
    return float(score[0])


@settings(deadline=None)
@given(seeds, st.integers(1, 40), st.booleans(), st.sampled_from([SMALL, SPACELESS]))
def test_all_alignments_of_a_text_are_summed(
    seed: int, frames: int, trailing: bool, alphabet: Alphabet
) -> None:
    draw = np.random.default_rng(seed)
    rows = random_rows(seed, frames, alphabet.size, sharpness=draw.uniform(0.5, 4))
    text = "".join(draw.choice(alphabet.symbols, draw.integers(0, min(frames, 12) + 1)))
    text = " ".join(text.split())
    space = alphabet.encode(" ")[0] if " " in alphabet.symbols else -1
    expected = acoustic_score(rows, text, alphabet, trailing)
    found = score_of(rows, alphabet.encode(text), space, trailing and space >= 0)
    assert found == pytest.approx(expected, abs=1e-4)


def test_long_texts_are_summed_without_underflow() -> None:
    rows = np.log(np.full((5000, SMALL.size), 1e-3))
    symbols = [1 + place % 2 for place in range(2400)]
    text = "".join(SMALL.symbols[symbol] for symbol in symbols)
    expected = acoustic_score(rows, text, SMALL)
    assert score_of(rows, symbols, 0, trailing=True) == pytest.approx(expected, rel=1e-6)
