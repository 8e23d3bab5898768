"""The beam search against the enumeration of all alignments, wide enough to be exact."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from brute_force import Reference, acoustic_scores, best_alignment, random_rows
from hypothesis import given
from hypothesis import strategies as st
from toy_lm import ToyLm, random_lm

from plainspeech.alphabet import Alphabet
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.results import Hypothesis
from plainspeech.lm.tables import score_word

SMALL = Alphabet((" ", "a", "b"))
SPACELESS = Alphabet(("a", "b"))
seeds = st.integers(0, 2**32 - 1)
frame_counts = st.integers(1, 5)
penalties = st.sampled_from([0.0, 1.5])
phrases = st.lists(st.sampled_from(["a", "b", "ab", "ba", "bb"]), min_size=1, max_size=2)
hot_words = st.dictionaries(phrases.map(" ".join), st.floats(-3, 3), max_size=4)


WORD_MODEL = ("a", "ab", "ba", "bab")
CHARACTER_MODEL = ("a", "b", "|")
WIDE = {"beam_width": 2000, "beam_threshold": 18.0, "token_floor": -9.0}


def exact(
    alphabet: Alphabet = SMALL, lm: ToyLm | None = None, penalty: float = 0.0
) -> BeamSearchDecoder:
    """Return a decoder that drops nothing."""
    return BeamSearchDecoder(
        alphabet,
        lm,
        frame_seconds=1.0,
        beam_width=2000,
        beam_threshold=np.inf,
        token_floor=-np.inf,
        unknown_word_penalty=penalty,
        merge="prefix",
    )


def reference(lm: ToyLm, penalty: float, hot_words: Mapping[str, float]) -> Reference:
    return Reference(
        SMALL,
        lexicon=frozenset(lm.vocabulary),
        lm=lm.log_probability,
        alpha=lm.alpha,
        beta=lm.beta,
        penalty=penalty,
        hot_words=hot_words,
    )


def scores(found: Iterable[Hypothesis]) -> dict[str, tuple[float, float, float]]:
    return {h.transcript.text: (h.acoustic_score, h.lm_score, h.hot_word_score) for h in found}


def close(expected: Mapping[str, tuple[float, float, float]]) -> dict[str, object]:
    return {text: pytest.approx(parts, abs=1e-5) for text, parts in expected.items()}


@given(seeds, frame_counts, st.sampled_from([SMALL, SPACELESS]))
def test_every_text_has_the_sum_of_its_alignments(
    seed: int, frames: int, alphabet: Alphabet
) -> None:
    rows = random_rows(seed, frames, alphabet.size)
    expected = acoustic_scores(rows, alphabet)
    found = exact(alphabet).decode_n_best(rows, 10_000)
    assert {h.transcript.text: h.score for h in found} == pytest.approx(expected, abs=1e-5)
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
    assert all(h.acoustic_score == h.score and h.lm_score == h.hot_word_score == 0 for h in found)


@given(seeds, frame_counts)
def test_times_are_those_of_the_best_alignment(seed: int, frames: int) -> None:
    rows = random_rows(seed, frames, SMALL.size, sharpness=3.0)
    found = exact().decode_n_best(rows, 1)[0]
    _, evidence = exact().decode_with_evidence(rows)
    path = best_alignment(rows, found.transcript.text, SMALL)
    ends = list(itertools.accumulate(len(list(run)) for _, run in itertools.groupby(path)))
    runs = [
        (SMALL.symbols[symbol], float(end - len(list(run))), float(end))
        for (symbol, run), end in zip(itertools.groupby(path), ends, strict=True)
        if symbol != SMALL.blank_id
    ]
    letters = [(c.text, c.start, c.end) for c in found.characters if c.text != " "]
    assert letters == [run for run in runs if run[0] != " "]
    for word, acoustic in zip(found.transcript.words, evidence[:, 0], strict=True):
        frames_of = list(range(int(word.start), int(word.end)))
        assert path[frames_of[0]] == SMALL.encode(word.text[0])[0]
        assert path[frames_of[-1]] == SMALL.encode(word.text[-1])[0]
        written = [np.exp(rows[f, path[f]]) for f in frames_of if path[f] != SMALL.blank_id]
        assert acoustic == pytest.approx(np.mean(written), abs=1e-5)


@given(seeds, frame_counts, penalties)
def test_words_are_scored_by_the_language_model(seed: int, frames: int, penalty: float) -> None:
    rows, lm = random_rows(seed, frames, SMALL.size), random_lm(seed, WORD_MODEL)
    found = exact(lm=lm, penalty=penalty).decode_n_best(rows, 10_000)
    assert scores(found) == close(reference(lm, penalty, {}).scores(rows))


@given(seeds, frame_counts, st.booleans())
def test_parts_of_sentences_go_on_after_words_and_need_not_end(
    seed: int, frames: int, ends: bool
) -> None:
    rows, lm = random_rows(seed, frames, SMALL.size), random_lm(seed, WORD_MODEL)

    def log_probability(before: Sequence[str], word: str) -> float:
        return lm.log_probability(["a", *before], word) if ends or word != "</s>" else 0.0

    _, state = score_word(lm.tables, int(lm.tables.bos_state), lm.vocabulary.index("a"))
    decoder = exact(lm=lm, penalty=1.5).within_sentence(state, ends)
    expected = replace(reference(lm, 1.5, {}), lm=log_probability).scores(rows)
    for found in (decoder, decoder.with_settings(beam_width=3000)):
        assert scores(found.decode_n_best(rows, 10_000)) == close(expected)


@given(seeds, frame_counts)
def test_characters_are_scored_by_a_model_of_characters(seed: int, frames: int) -> None:
    rows, lm = random_rows(seed, frames, SPACELESS.size), random_lm(seed, CHARACTER_MODEL)
    expected = Reference(
        SPACELESS, lm=lm.log_probability, of_characters=True, alpha=lm.alpha, beta=lm.beta
    )
    found = exact(SPACELESS, lm).decode_n_best(rows, 10_000)
    assert scores(found) == close(expected.scores(rows))


def test_a_model_of_characters_scores_spaces() -> None:
    rows = np.full((3, SMALL.size), -50.0, np.float32)
    rows[[0, 1, 2], SMALL.encode("a b")] = 0.0
    lm = random_lm(1, CHARACTER_MODEL)
    found = exact(lm=lm).decode_n_best(rows, 1)[0]
    steps = zip(["", "a", "a|", "a|b"], ["a", "|", "b", "</s>"], strict=True)
    expected = 3 * lm.beta + lm.alpha * sum(lm.log_probability(*step) for step in steps)
    assert found.transcript.text == "a b"
    assert found.lm_score == pytest.approx(expected, abs=1e-5)


@given(seeds, frame_counts, hot_words)
def test_hot_words_without_a_language_model(
    seed: int, frames: int, hot_words: dict[str, float]
) -> None:
    rows = random_rows(seed, frames, SMALL.size)
    found = exact().decode_n_best(rows, 10_000, hot_words)
    assert scores(found) == close(Reference(SMALL, hot_words=hot_words).scores(rows))


@given(seeds, frame_counts, penalties, hot_words)
def test_hot_words_with_a_language_model(
    seed: int, frames: int, penalty: float, hot_words: dict[str, float]
) -> None:
    rows, lm = random_rows(seed, frames, SMALL.size), random_lm(seed, WORD_MODEL)
    found = exact(lm=lm, penalty=penalty).decode_n_best(rows, 10_000, hot_words)
    assert scores(found) == close(reference(lm, penalty, hot_words).scores(rows))


def best_scores(merge: Literal["state", "prefix"], **settings: Any) -> npt.NDArray[np.float64]:
    """Return the score of the best text of each of some random utterances."""
    found = []
    for seed in range(40):
        lm = random_lm(seed, WORD_MODEL)
        decoder = BeamSearchDecoder(
            SMALL, lm, frame_seconds=1.0, merge=merge, unknown_word_penalty=3.0, **settings
        )
        found.append(decoder.decode_n_best(random_rows(seed, 10, SMALL.size), 1)[0].score)
    return np.array(found)


@pytest.mark.parametrize("merge", ["state", "prefix"])
def test_a_wider_search_finds_better_scores(merge: Literal["state", "prefix"]) -> None:
    """None may find what the widest does not; of two narrow ones, one may be lucky."""
    no_limits = {"beam_threshold": np.inf, "token_floor": -np.inf}
    widest = best_scores("prefix", beam_width=1_000, **no_limits)
    means = []
    for width in (1, 4, 16, 64):
        found = best_scores(merge, beam_width=width, **no_limits)
        assert np.all(found <= widest + 1e-4)
        means.append(found.mean())
    for threshold in (1.0, 4.0, 16.0):
        found = best_scores(merge, beam_threshold=threshold, token_floor=-2 * threshold)
        assert np.all(found <= widest + 1e-4)
    assert means == sorted(means)
    assert means[-1] == pytest.approx(widest.mean(), abs=0.05)


# A penalty of 0 forbids; where that leaves no text, the last word is dropped, with its score.
@given(seeds, frame_counts, st.integers(1, 8), st.floats(0.5, 20), st.floats(0.5, 20))
def test_no_search_finds_more_than_the_exact_one(
    seed: int, frames: int, width: int, threshold: float, penalty: float
) -> None:
    lm, rows = random_lm(seed, WORD_MODEL), random_rows(seed, frames, SMALL.size)
    (best, *_) = exact(lm=lm, penalty=penalty).decode_n_best(rows, 1)
    for merge in ("state", "prefix"):
        narrow = BeamSearchDecoder(
            SMALL,
            lm,
            frame_seconds=1.0,
            beam_width=width,
            beam_threshold=threshold,
            unknown_word_penalty=penalty,
            merge=merge,
        )
        for found in narrow.decode_n_best(rows, 1):
            assert found.score <= best.score + 1e-4


@given(seeds, frame_counts, st.integers(1, 8))
def test_a_wide_search_does_not_lose_to_a_narrow_one_with_the_defaults(
    seed: int, frames: int, width: int
) -> None:
    lm, rows = random_lm(seed, WORD_MODEL), random_rows(seed, frames, SMALL.size)
    narrow = BeamSearchDecoder(SMALL, lm, frame_seconds=1.0, beam_width=width)
    wide = narrow.with_settings(**WIDE)
    (found,), (best,) = narrow.decode_n_best(rows, 1), wide.decode_n_best(rows, 1)
    assert best.score >= found.score - 1e-4


def test_a_wide_search_writes_no_utterance_as_one_unknown_word() -> None:
    """Its cost does not depend on its length; with a penalty of 16, two of these were."""
    letters = Alphabet((*" abcdefg",))
    for seed in range(12, 22):
        random = np.random.default_rng(seed)
        drawn = ("".join(random.choice([*"abcdefg"], 1 + n % 5)) for n in range(30))
        words = list(dict.fromkeys(drawn))
        text = " ".join(random.choice(words, 8))
        ids = [i for character in text for i in (*letters.encode(character), letters.blank_id)]
        heard = random.normal(size=(len(ids), letters.size))
        heard[np.arange(len(ids)), ids] += 1.5
        heard *= 1.8
        rows = np.float32(heard - np.log(np.exp(heard).sum(axis=1, keepdims=True)))
        decoder = BeamSearchDecoder(letters, random_lm(seed, words)).with_settings(**WIDE)
        assert set(decoder.decode(rows).text.split()) <= set(words)
