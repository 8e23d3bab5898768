"""The beam search against the enumeration of all alignments, wide enough to be exact."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainspeech.alphabet import Alphabet
from plainspeech.decoding.decoder import BeamSearchDecoder
from brute_force import Reference, acoustic_scores, best_alignment, random_rows

SMALL = Alphabet((" ", "a", "b"))
SPACELESS = Alphabet(("a", "b"))
EXACT = {"beam_width": 2000, "beam_threshold": np.inf, "token_floor": -np.inf}
seeds = st.integers(0, 2**32 - 1)
frame_counts = st.integers(1, 5)


def exact(alphabet: Alphabet = SMALL) -> BeamSearchDecoder:
    return BeamSearchDecoder(alphabet, frame_seconds=1.0, cutoff_prob=1.0, **EXACT)


@settings(deadline=None)
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


@settings(deadline=None)
@given(seeds, frame_counts)
def test_times_are_those_of_the_best_alignment(seed: int, frames: int) -> None:
    rows = random_rows(seed, frames, SMALL.size, sharpness=3.0)
    found = exact().decode_n_best(rows, 1)[0]
    path = best_alignment(rows, found.transcript.text, SMALL)
    ends = list(itertools.accumulate(len(list(run)) for _, run in itertools.groupby(path)))
    runs = [
        (SMALL.symbols[symbol], float(end - len(list(run))), float(end))
        for (symbol, run), end in zip(itertools.groupby(path), ends, strict=True)
        if symbol != SMALL.blank_id
    ]
    letters = [(c.text, c.start, c.end) for c in found.characters if c.text != " "]
    assert letters == [run for run in runs if run[0] != " "]
    for word in found.transcript.words:
        frames_of = [f for f in range(int(word.start), int(word.end))]
        assert path[frames_of[0]] == SMALL.encode(word.text[0])[0]
        assert path[frames_of[-1]] == SMALL.encode(word.text[-1])[0]
        written = [np.exp(rows[f, path[f]]) for f in frames_of if path[f] != SMALL.blank_id]
        assert word.confidence == pytest.approx(np.mean(written), abs=1e-5)
