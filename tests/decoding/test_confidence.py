"""Confidences: the parts against plain definitions, the whole against words right and wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from brute_force import random_rows
from hypothesis import given
from hypothesis import strategies as st
from toy_lm import Ngram, ToyLm, random_lm

from plainspeech.alphabet import Alphabet
from plainspeech.arrays import Array
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.calibration import (
    UNTOLD,
    WITH_LANGUAGE_MODEL,
    Calibration,
    fit_calibration,
)
from plainspeech.decoding.kernels.compiled import initial_state
from plainspeech.decoding.kernels.jit import inlined
from plainspeech.decoding.kernels.records import PREFIX, Records, State
from plainspeech.decoding.kernels.word_posteriors import update_word_posteriors
from plainspeech.errors import PlainspeechError
from plainspeech.evaluation.reliability import (
    correct_words,
    discrimination,
    normalised_cross_entropy,
    reliability,
)
from plainspeech.lm.tables import SPECIAL_WORDS

Evidence = npt.NDArray[np.float64]

SMALL = Alphabet((" ", "a", "b"))
SPACE = 0
LM = random_lm(3, ("a", "ab", "ba", "bab", "abba"))
weighed: Any = inlined(
    lambda ends, space, state, prefixes: update_word_posteriors(ends, space, state, prefixes)
)
seeds = st.integers(0, 2**32 - 1)
weights = st.floats(-5, 5)
rising = st.floats(0, 5)
calibrations = st.builds(Calibration, weights, rising, rising, rising, weights, rising, rising)
probabilities = st.floats(0, 1)
words = st.tuples(
    probabilities,
    probabilities,
    st.floats(-50, 5),
    st.integers(1, 30),
    st.floats(-5, 5),
    probabilities,
)


@given(calibrations, st.lists(words, min_size=1))
def test_confidences_are_probabilities(calibration: Calibration, found: list[Any]) -> None:
    confidences = calibration.confidences(np.array(found, np.float64))
    assert ((confidences >= 0) & (confidences <= 1)).all()


@given(calibrations, words, words)
def test_more_of_anything_never_makes_less_sure(
    calibration: Calibration, word: Any, other: Any
) -> None:
    better = (*np.maximum(word, other)[:3], word[3], *np.maximum(word, other)[4:])
    low, high = calibration.confidences(np.array([word, better], np.float64))
    assert low <= high


def test_weights_that_would_mislead_are_refused() -> None:
    with pytest.raises(PlainspeechError, match="share is -1"):
        Calibration(0, 1, -1, 1, 0)
    with pytest.raises(PlainspeechError, match="bias is nan"):
        Calibration(float("nan"), 1, 1, 1, 0)


def random_evidence(seed: int, count: int) -> Evidence:
    random = np.random.default_rng(seed)
    acoustic, share, rescored = random.random((3, count))
    language, characters = random.uniform(-10, 0, count), random.integers(1, 12, count)
    utterance = random.uniform(-3, 3, count)
    return np.column_stack([acoustic, share, language, characters, utterance, rescored])


def test_a_fit_finds_the_weights() -> None:
    true, evidence = Calibration(0.5, 0.8, 0.4, 0.3, 0.2, 0.6, 0.7), random_evidence(0, 200_000)
    correct = np.random.default_rng(1).random(len(evidence)) < true.confidences(evidence)
    found = fit_calibration(evidence, correct)
    assert vars(found) == pytest.approx(vars(true), abs=0.05)


def test_a_fit_never_takes_more_for_worse() -> None:
    evidence = random_evidence(2, 1000)
    found = fit_calibration(evidence, evidence[:, 1] < 0.5)
    assert found.share == 0


def test_a_fit_needs_both_kinds() -> None:
    evidence = random_evidence(3, 5)
    with pytest.raises(PlainspeechError, match="right and words that are wrong"):
        fit_calibration(evidence, [True] * 5)
    with pytest.raises(PlainspeechError, match="there are 5 words"):
        fit_calibration(evidence, [True, False])


def random_tree(seed: int) -> tuple[Records, State]:
    """Return prefixes of single spaces between words, and hypotheses among them."""
    random = np.random.default_rng(seed)
    prefixes = np.zeros(120, PREFIX)
    prefixes["symbol"][0] = SPACE
    for node in range(1, len(prefixes)):
        place = random.integers(max(0, node - 25), node)
        parent = prefixes[place]
        symbols = [1, 2] if parent["symbol"] == SPACE else [SPACE, 1, 2]
        prefixes[node]["parent"] = place
        prefixes[node]["symbol"] = random.choice(symbols)
        prefixes[node]["frame"] = max(node // 4, parent["frame"] + 1)
    context = BeamSearchDecoder(SMALL, beam_width=20)._context
    state = initial_state(context.parameters, SMALL, context.tables, context.hot_words)
    state.head["beams"], state.head["frame"] = 20, prefixes["frame"].max() + 1
    beams = state.beams[0, :20]
    beams["node"] = random.choice(np.arange(60, 120), 20, replace=False)
    beams["blank"], beams["symbol"] = random.random((2, 20))
    return prefixes, state


def words_of(prefixes: Records, node: int, final: bool) -> dict[int, tuple[str, int, int]]:
    """Return spelling, first and last frame of each word of a prefix, by where it ends."""
    path = list[int]()
    while node > 0:
        path.insert(0, node)
        node = int(prefixes[node]["parent"])
    found, letters = {}, list[int]()
    for place in path:
        if prefixes[place]["symbol"] != SPACE:
            letters.append(place)
        if letters and (prefixes[place]["symbol"] == SPACE or (final and place == path[-1])):
            frames = prefixes["frame"][letters]
            spelling = "".join(map(str, prefixes["symbol"][letters]))
            found[place] = (spelling, int(frames[0]), int(frames[-1]))
            letters = []
    return found


@given(seeds, st.booleans())
def test_shares_are_of_hypotheses_with_the_word_at_its_place(seed: int, final: bool) -> None:
    prefixes, state = random_tree(seed)
    head, beams = state.head[0], state.beams[0, :20]
    last = int(head["frame"])
    head["compared_before"], head["updated_before"], head["due_before"] = (
        last // 4,
        last // 2,
        3 * last // 4,
    )
    weighed(final, SPACE, state, prefixes)
    mass = beams["blank"] + beams["symbol"]
    texts = [words_of(prefixes, int(node), final) for node in beams["node"]]
    turns = {
        node: word
        for text in texts
        for node, word in text.items()
        if prefixes[node]["symbol"] != SPACE
        or last // 2 <= prefixes[node]["frame"] < (last if final else 3 * last // 4)
    }
    for node, (spelling, start, end) in turns.items():
        shares = [
            weight
            for text, weight, beam in zip(texts, mass, beams["node"], strict=True)
            for other, (same, first, final_frame) in text.items()
            if (same, True) == (spelling, first <= end and start <= final_frame)
            and (prefixes[other]["frame"] >= last // 4 or other == beam)
        ]
        assert prefixes[node]["posterior"] == pytest.approx(
            min(1, sum(shares) / mass.sum()), abs=1e-5
        )
    assert set(np.flatnonzero(prefixes["posterior"]).tolist()) == set(turns)
    assert not prefixes["slot"].any()


@given(seeds, st.integers(1, 40))
def test_evidence_is_what_it_is_said_to_be(seed: int, frames: int) -> None:
    decoder = BeamSearchDecoder(SMALL, LM, frame_seconds=1.0, unknown_word_penalty=2.0)
    rows = random_rows(seed, frames, SMALL.size, sharpness=3.0)
    transcript, evidence = decoder.decode_with_evidence(rows)
    assert transcript == decoder.decode(rows)
    texts = transcript.text.split()
    assert evidence[:, 3].tolist() == [len(text) for text in texts]
    assert ((evidence[:, :2] >= 0) & (evidence[:, :2] <= 1 + 1e-6)).all()
    for index, text in enumerate(texts):
        expected = LM.alpha * LM.log_probability(texts[:index], text)
        expected -= 2.0 * (text not in LM.vocabulary)
        assert evidence[index, 2] == pytest.approx(expected, abs=1e-4)
    shares = (evidence[:, 0] + 0.01) / (1.01 - evidence[:, 0])
    assert evidence[:, 4] == pytest.approx(np.log(shares).mean() if texts else 0.0)
    assert (evidence[:, 5] == UNTOLD).all()  # there is no recurrent language model
    confidences = [word.confidence for word in transcript.words]
    assert confidences == WITH_LANGUAGE_MODEL.confidences(evidence).tolist()


def flat_lm(words: Sequence[str]) -> ToyLm:
    """Return a model to which all words are alike, but which looks at the one before."""
    vocabulary = (*SPECIAL_WORDS, *words)
    ngrams: list[Ngram] = [(word,) for word in vocabulary]
    ngrams += [(one, other) for one in words for other in words]
    return ToyLm(vocabulary, dict.fromkeys(ngrams, -np.log(len(words))), dict.fromkeys(ngrams, 0.0))


def spelled(texts: Sequence[str], shares: Sequence[float]) -> Array:
    """Return frames in which ``texts`` of one length have these probabilities, a blank between."""
    rows = np.full((2 * len(texts[0]), SMALL.size), 1e-4)
    for text, share in zip(texts, shares, strict=True):
        rows[np.arange(0, len(rows), 2), SMALL.encode(text)] += share
    rows[1::2, SMALL.blank_id] = 1.0
    return np.asarray(np.log(rows / rows.sum(axis=1, keepdims=True)), np.float32)


def test_without_rivals_the_beam_is_of_one_mind() -> None:
    _, evidence = BeamSearchDecoder(SMALL).decode_with_evidence(spelled(["ab ba"], [1.0]))
    assert evidence[:, 1] == pytest.approx(1, abs=0.01)


def test_rivals_that_were_merged_away_are_not_forgotten() -> None:
    long = 8 * "ab"
    rows = spelled([f"ab {long} {long}", f"ba {long} {long}"], [0.6, 0.4])
    decoder = BeamSearchDecoder(SMALL, flat_lm(("ab", "ba", long)))
    stream = decoder.stream()
    stream.feed(rows)
    assert len({each.text.split()[0] for each in stream.candidates()}) == 1
    transcript, evidence = decoder.decode_with_evidence(rows)
    assert evidence[0, 1] == pytest.approx(0.36 / (0.36 + 0.16), abs=0.01)
    assert (evidence[1:, 1] > 0.95).all()
    assert transcript.words[0].confidence < transcript.words[1].confidence


def test_hypotheses_have_the_shares_of_their_own_words() -> None:
    decoder = BeamSearchDecoder(SMALL, calibration=Calibration(0, 0, 1, 0, 0))
    first, second = decoder.decode_n_best(spelled(["ab b", "ab a"], [0.6, 0.4]), 2)
    assert (first.transcript.text, second.transcript.text) == ("ab b", "ab a")
    (same, likely), (again, unlikely) = (h.transcript.words for h in (first, second))
    assert same.confidence == again.confidence
    assert (likely.confidence, unlikely.confidence) == pytest.approx((0.6, 0.4), abs=0.01)


LETTERS = Alphabet((*" abcdefg",))


def speech(random: np.random.Generator, text: str) -> Array:
    """Return what a model hears that is surer of each frame than it may be."""
    ids = [i for character in text for i in (*LETTERS.encode(character), LETTERS.blank_id)]
    scores = random.normal(size=(len(ids), LETTERS.size))
    scores[np.arange(len(ids)), ids] += 1.0 + random.gamma(2.0, 1.5)
    scores *= 1.8
    return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)), np.float32)


def vocabulary() -> list[str]:
    random = np.random.default_rng(5)
    return sorted(
        {"".join(random.choice(list("abcdefg"), random.integers(1, 6))) for _ in range(150)}
    )


def heard(decoder: BeamSearchDecoder, seed: int) -> tuple[Evidence, Evidence, Any]:
    """Return evidence, confidences and truth of the words of 150 utterances."""
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(vocabulary(), 8)) for _ in range(150)]
    found = [decoder.decode_with_evidence(speech(random, text)) for text in texts]
    correct = correct_words(texts, [transcript.text for transcript, _ in found])
    confidences = [word.confidence for transcript, _ in found for word in transcript.words]
    return np.concatenate([parts for _, parts in found]), np.array(confidences), correct


@pytest.mark.parametrize("scorer", [None, flat_lm(vocabulary())])
def test_fitted_confidences_are_probabilities_of_other_words(scorer: ToyLm | None) -> None:
    decoder = BeamSearchDecoder(LETTERS, scorer)
    evidence, _, correct = heard(decoder, 1)
    decoder = decoder.with_settings(calibration=fit_calibration(evidence, correct))
    evidence, confidences, correct = heard(decoder, 2)
    before, after = evidence[:, 0], confidences
    assert reliability(after, correct).error < 0.05
    # What a constant has, and a mean probability of characters, is not enough.
    constant = np.full(len(correct), correct.mean())
    for less in (constant, before):
        gain = normalised_cross_entropy(after, correct) - normalised_cross_entropy(less, correct)
        assert gain > 0.05
        assert discrimination(after, correct) > discrimination(less, correct)
    assert reliability(after, correct).error < reliability(before, correct).error / 2
