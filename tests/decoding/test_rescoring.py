"""Texts that a recurrent model scores anew, against all texts that there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brute_force import acoustic_scores, random_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_lm import random_lm

from plainspeech.alphabet import ENGLISH, Alphabet
from plainspeech.decoding import stream
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.rescoring import word_shares
from plainspeech.decoding.results import best_text
from plainspeech.decoding.text_scores import TextScorer
from plainspeech.errors import ConfigurationError
from plainspeech.lm.neural import NeuralModel, SentenceScorer
from plainspeech.lm.scorer import Scorer
from plainspeech.lm.tables import EOS_ID, SPECIAL_WORDS, UNKNOWN_ID
from plainspeech.pronunciations import parse_pronunciations

SMALL = Alphabet((" ", "a", "b"))
WORDS = ("a", "ab", "ba", "bab")
WIDE: dict[str, Any] = {
    "beam_width": 4000,
    "beam_threshold": np.inf,
    "token_floor": -np.inf,
}
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(autouse=True, scope="module")
def _all_texts_are_scored_anew() -> Iterator[None]:
    """Two random models differ more than two of one language."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "RESCORED", 1000)
        patch.setattr(stream, "RESCORED_WITHIN", np.inf)
        yield


def random_neural(seed: int, words: int) -> NeuralModel:
    """Return a model of the special words and so many others, but not of the last."""
    draw, hidden, width, rows = np.random.default_rng(seed), 5, 3, words + 1

    def weights(*shape: int) -> Any:
        return 2 * draw.normal(size=shape).astype(np.float32)

    known = range(len(SPECIAL_WORDS), len(SPECIAL_WORDS) + words - 1)
    return NeuralModel(
        np.array([EOS_ID, UNKNOWN_ID, *known], np.int32),
        weights(rows, width),
        weights(rows),
        weights(4 * hidden, width),
        weights(4 * hidden, hidden),
        weights(4 * hidden),
        weights(width, hidden),
    )


def scorer_of(seed: int, words: tuple[str, ...] = WORDS, weight: float = 0.6) -> Scorer:
    lm = random_lm(seed, words)
    neural = random_neural(seed, len(words))
    return Scorer(lm.vocabulary, lm.tables, 3, 0.7, 0.4, neural=neural, neural_weight=weight)


def score_of(text: str, scorer: Scorer, weight: float, penalty: float) -> float:
    """Return what both models give a text."""
    words = text.split()
    assert scorer.neural is not None
    ids = scorer.ids(words).tolist()
    sentences = SentenceScorer(scorer.neural, scorer.tables.unigrams)  # type: ignore[union-attr]
    (recurrent,) = sentences.log_probabilities([ids])
    model = (1 - weight) * scorer.score(words) + weight * recurrent
    words_alone = scorer.beta * len(words) - penalty * ids.count(UNKNOWN_ID)
    return float(scorer.alpha * model + words_alone)


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 4), st.sampled_from([0.3, 1.0]))
def test_the_best_of_all_texts_is_found(seed: int, frames: int, weight: float) -> None:
    rows, scorer = random_rows(seed, frames, SMALL.size), scorer_of(seed)
    decoder = BeamSearchDecoder(
        SMALL, scorer, neural_weight=weight, unknown_word_penalty=1.5, **WIDE
    )
    totals = {
        text: acoustic + score_of(text, scorer, weight, 1.5)
        for text, acoustic in acoustic_scores(rows, SMALL).items()
    }
    ranked = sorted(totals, key=lambda text: -totals[text])[:5]

    found = decoder.decode_n_best(rows, 5)

    for text, hypothesis in zip(ranked, found, strict=False):
        assert hypothesis.score == pytest.approx(totals[text], abs=1e-3)
        parts = hypothesis.acoustic_score + hypothesis.lm_score + hypothesis.hot_word_score
        assert parts == pytest.approx(hypothesis.score, abs=1e-4)
    best = found[0].transcript.text
    assert totals[best] == pytest.approx(totals[ranked[0]], abs=1e-3)
    assert decoder.decode(rows).text == best
    assert TextScorer(decoder).score(rows, best).total == pytest.approx(totals[best], abs=1e-3)


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 8), st.floats(0, 9))
def test_texts_far_from_the_best_are_not_scored_anew(seed: int, most: int, within: float) -> None:
    rows, scorer = random_rows(seed, 6, SMALL.size), scorer_of(seed)
    # Such a search ranks texts by their exact scores.
    decoder = BeamSearchDecoder(SMALL, scorer, merge="prefix", **WIDE)
    (every,) = decoder.decode_rescored_batch([rows])
    ranked = sorted(every, key=lambda each: -each.score)
    near = [each.text for each in ranked if each.score >= ranked[0].score - within][:most]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "RESCORED", most)
        patch.setattr(stream, "RESCORED_WITHIN", within)
        (found,) = decoder.decode_rescored_batch([rows])
        listed = decoder.decode_n_best(rows, 1000)
    assert {each.text for each in found} == set(near)
    # What is not scored anew is still listed, once.
    assert sorted(each.transcript.text for each in listed) == sorted(each.text for each in every)


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_words_that_the_other_texts_have_are_surer(seed: int) -> None:
    rows, scorer = random_rows(seed, 6, SMALL.size), scorer_of(seed)
    decoder = BeamSearchDecoder(SMALL, scorer, **WIDE)
    transcript, evidence = decoder.decode_with_evidence(rows)
    (texts,) = decoder.decode_rescored_batch([rows])
    scores = np.array([each.score + each.gain for each in texts])
    weights = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    shares, words = evidence[:, 5], transcript.text.split()
    whole = sum(w for each, w in zip(texts, weights, strict=True) if each.text == transcript.text)
    somewhere = [
        sum(w for each, w in zip(texts, weights, strict=True) if word in each.text.split())
        for word in words
    ]
    assert (shares >= whole - 1e-9).all()
    assert (shares <= np.array(somewhere) + 1e-9).all()


def test_shares_are_of_words_at_their_places() -> None:
    texts = [text.split() for text in ("a b a", "b a", "a c a b")]
    scores = np.log([0.5, 0.3, 0.2]) - 7
    shares = word_shares(texts[0], texts, scores.tolist())
    assert shares == pytest.approx([0.7, 0.5 + 0.3 + 0.2, 0.8])
    assert word_shares(texts[1], texts, scores.tolist()) == pytest.approx([0.8, 1.0])
    assert word_shares([], texts, scores.tolist()).shape == (0,)


def test_it_changes_what_is_written() -> None:
    changed = 0
    for seed in range(30):
        rows, scorer = random_rows(seed, 6, SMALL.size), scorer_of(seed)
        with_both = BeamSearchDecoder(SMALL, scorer, **WIDE)
        changed += with_both.decode(rows) != with_both.with_settings(neural_weight=0).decode(rows)
    assert changed >= 5


@settings(max_examples=40, deadline=None)
@given(seeds, st.sampled_from([0.1, 0.5, 0.9]))
def test_one_search_tells_the_best_text_at_any_weight(seed: int, weight: float) -> None:
    rows, scorer = random_rows(seed, 6, SMALL.size), scorer_of(seed)
    narrow = BeamSearchDecoder(SMALL, scorer, beam_width=8)
    (found,) = narrow.decode_rescored_batch([rows])
    other = narrow.with_settings(neural_weight=weight)
    assert best_text(found, weight / scorer.neural_weight) == other.decode(rows).text
    (alone,) = narrow.with_settings(neural_weight=0).decode_rescored_batch([rows])
    plain = narrow.with_settings(neural_weight=0).decode(rows)
    assert [(each.text, each.gain) for each in alone] == [(plain.text, 0.0)]


def test_the_scorer_says_how_much_it_counts() -> None:
    decoder = BeamSearchDecoder(SMALL, scorer_of(1, weight=0.25))
    assert decoder.settings.neural_weight == 0.25
    assert decoder.description == "beam 100, 3-gram and recurrent model"
    assert BeamSearchDecoder(SMALL, random_lm(1, WORDS)).settings.neural_weight == 0


@pytest.mark.parametrize("words", [WORDS, ("a", "b", "|")])
def test_without_such_a_model_it_has_no_weight(words: tuple[str, ...]) -> None:
    scorer = random_lm(1, words)
    assert BeamSearchDecoder(SMALL, scorer).settings.neural_weight == 0
    says = r"neural_weight is 0\.5, which needs a scorer over words with a recurrent language model"
    with pytest.raises(ConfigurationError, match=says):
        BeamSearchDecoder(SMALL, scorer, neural_weight=0.5)


def test_parts_of_sentences_are_not_scored_anew() -> None:
    for seed in range(10):
        rows, scorer = random_rows(seed, 6, SMALL.size), scorer_of(seed)
        part = BeamSearchDecoder(SMALL, scorer, **WIDE).within_sentence(0, ends=False)
        plain = BeamSearchDecoder(SMALL, scorer, neural_weight=0, **WIDE)
        assert part.decode(rows) == plain.within_sentence(0, ends=False).decode(rows)


LEXICON = parse_pronunciations(b"too T A\ntwo T A\na A\nat A T\ntoot T A T\n", Path("lexicon"))


def over_phones(seed: int) -> BeamSearchDecoder:
    scorer = scorer_of(seed, ("too", "two", "a", "at", "toot"))
    return BeamSearchDecoder(ENGLISH, scorer, pronunciations=LEXICON, beam_width=30)


def over_letters(seed: int) -> BeamSearchDecoder:
    return BeamSearchDecoder(SMALL, scorer_of(seed), beam_width=30)


ROWS = {over_phones: LEXICON.size, over_letters: SMALL.size}


@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from(list(ROWS)))
def test_what_is_stable_stays(seed: int, decoder: Any) -> None:
    stream, stable = decoder(seed).stream(), list[str]()
    for row in random_rows(seed, 40, ROWS[decoder]):
        stream.feed(row[None])
        partial = stream.partial()
        assert partial.stable.split()[: len(stable)] == stable
        stable = partial.stable.split()
        assert partial.text.split()[: len(stable)] == stable
    final = stream.finish()
    assert final.text.split()[: len(stable)] == stable


@settings(max_examples=20, deadline=None)
@given(seeds, st.sampled_from(list(ROWS)), st.lists(st.integers(1, 39), max_size=4))
def test_where_it_is_cut_makes_no_difference(seed: int, decoder: Any, cuts: list[int]) -> None:
    rows, stream = random_rows(seed, 40, ROWS[decoder]), decoder(seed).stream()
    for part in np.split(rows, sorted(cuts)):
        stream.feed(part)
    assert stream.finish() == decoder(seed).decode(rows)


def test_what_is_stable_is_chosen_by_both_models() -> None:
    """With what the n-grams alone would have settled, more than 2 nats a text are lost."""
    lost, words = 0.0, 0
    for seed in range(25):
        rows, decoder = random_rows(seed, 40, SMALL.size), over_letters(seed)
        stream, stable = decoder.stream(), ""
        for row in rows:
            stream.feed(row[None])
            stable = stream.partial().stable
        scores, words = TextScorer(decoder), words + len(stable.split())
        best, found = decoder.decode(rows).text, stream.finish().text
        lost += scores.score(rows, best).total - scores.score(rows, found).total
    assert words > 25
    assert lost / 25 < 0.5


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_texts_with_a_settled_beginning_have_their_own_scores(seed: int) -> None:
    rows, decoder = random_rows(seed, 40, SMALL.size), over_letters(seed)
    stream = decoder.stream()
    for row in rows:
        stream.feed(row[None])
        stream.partial()
    for each in stream.finish_n_best(3):
        exact = TextScorer(decoder).score(rows, each.transcript.text)
        assert each.score == pytest.approx(exact.total, abs=1e-3)
        assert each.acoustic_score == pytest.approx(exact.acoustic, abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(1, 5))
def test_over_phones_texts_are_scored_as_over_letters(seed: int, frames: int) -> None:
    scorer = scorer_of(seed, ("too", "two", "a", "at", "toot"))
    decoder = BeamSearchDecoder(ENGLISH, scorer, pronunciations=LEXICON, **WIDE)
    rows = random_rows(seed, frames, LEXICON.size)
    plain = decoder.with_settings(neural_weight=0, merge="prefix")
    before = {each.transcript.text: each for each in plain.decode_n_best(rows, 50)}
    for each in decoder.decode_n_best(rows, 50):
        text = each.transcript.text
        gain = score_of(text, scorer, 0.6, 0.0) - score_of(text, scorer, 0.0, 0.0)
        assert each.score == pytest.approx(before[text].score + gain, abs=1e-3)
