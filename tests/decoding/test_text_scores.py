"""The score of a given text, against the enumeration of all alignments."""

from __future__ import annotations

import numpy as np
import pytest
from brute_force import Reference, acoustic_scores, random_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_lm import random_lm

from plainspeech.alphabet import Alphabet
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.priors import estimate_log_priors
from plainspeech.decoding.text_scores import TextScorer
from plainspeech.errors import DataError, DecodingError

SMALL = Alphabet((" ", "a", "b"))
SPACELESS = Alphabet(("a", "b"))
seeds = st.integers(0, 2**32 - 1)
frame_counts = st.integers(0, 5)
WORDS = ("a", "ab", "ba", "bab")


@settings(max_examples=30)
@given(seeds, frame_counts, st.sampled_from([SMALL, SPACELESS]))
def test_every_text_has_the_sum_of_its_alignments(
    seed: int, frames: int, alphabet: Alphabet
) -> None:
    rows = random_rows(seed, frames, alphabet.size)
    scorer = TextScorer(BeamSearchDecoder(alphabet))
    for text, expected in acoustic_scores(rows, alphabet).items():
        found = scorer.score(rows, text)
        assert found.acoustic == pytest.approx(expected, abs=1e-5)
        assert found.lm == 0.0


@settings(max_examples=30)
@given(seeds, frame_counts, st.sampled_from([0.0, 1.5]))
def test_words_are_scored_as_the_search_defines_it(seed: int, frames: int, penalty: float) -> None:
    lm = random_lm(seed, WORDS)
    rows = random_rows(seed, frames, SMALL.size)
    scorer = TextScorer(BeamSearchDecoder(SMALL, lm, unknown_word_penalty=penalty))
    reference = Reference(
        SMALL,
        lexicon=frozenset(lm.vocabulary),
        lm=lm.log_probability,
        alpha=lm.alpha,
        beta=lm.beta,
        penalty=penalty,
    )
    for text in acoustic_scores(rows, SMALL):
        assert scorer.score(rows, text).lm == pytest.approx(reference.lm_score(text), abs=1e-4)
        assert scorer.unknown_words(text) == [w for w in text.split() if w not in WORDS]


@settings(max_examples=30)
@given(
    seeds,
    st.integers(1, 4),
    st.sampled_from([WORDS, ("a", "b", "|")]),
    st.sampled_from([0.0, 0.7]),
)
def test_the_search_scores_what_it_finds_likewise(
    seed: int, frames: int, words: tuple[str, ...], prior_weight: float
) -> None:
    rows = random_rows(seed, frames, SMALL.size)
    decoder = BeamSearchDecoder(
        SMALL,
        random_lm(seed, words),
        beam_width=2000,
        beam_threshold=np.inf,
        token_floor=-np.inf,
        unknown_word_penalty=2.0,
        prior_weight=prior_weight,
        log_priors=estimate_log_priors([rows]),
        merge="prefix",
    )
    # A model over characters keeps a text with a space at its end apart; they have one name.
    best = decoder.decode_n_best(rows, 1)[0]
    found = TextScorer(decoder).score(rows, best.transcript.text)
    if words == WORDS:
        assert found.acoustic == pytest.approx(best.acoustic_score, abs=1e-4)
        assert found.lm == pytest.approx(best.lm_score, abs=1e-4)
    else:
        assert found.total <= best.score + 1e-4


def test_what_cannot_be_written_scores_nothing() -> None:
    rows = random_rows(1, 2, SMALL.size)
    scorer = TextScorer(BeamSearchDecoder(SMALL))
    assert scorer.score(rows, "aba").acoustic == -np.inf
    assert scorer.score(rows, "aa").acoustic == -np.inf  # needs a blank in between
    with pytest.raises(DataError, match="'c'"):
        scorer.score(rows, "c")
    with pytest.raises(DecodingError):
        scorer.score(rows[:, :2], "a")
