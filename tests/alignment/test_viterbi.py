"""The search against every path there is, and its memory."""

from __future__ import annotations

import itertools
import math
import re
import tracemalloc
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plainspeech.alignment import viterbi
from plainspeech.alignment.viterbi import Costs, lattice_bytes, viterbi_alignment
from plainspeech.alphabet import Alphabet
from plainspeech.arrays import Array

PLAIN, UNSPACED = Alphabet((" ", "a", "b")), Alphabet(("a", "b"))
COSTS = Costs(skip_word=1.0, skip_symbol=0.5, unmatched_entry=0.7, unmatched_frame=0.2)
NEVER = Costs(skip_word=math.inf, unmatched_entry=math.inf)  # plain CTC: spoken word for word
WORDS = st.lists(st.sampled_from(["a", "b", "aa", "ab", ""]), min_size=1, max_size=3)
SEEDS = st.integers(0, 2**32 - 1)


def random_rows(seed: int, frames: int, columns: int) -> Array:
    rows = np.random.default_rng(seed).normal(scale=2.0, size=(frames, columns))
    return np.asarray(rows - np.log(np.exp(rows).sum(axis=1, keepdims=True)), np.float32)


def by_enumeration(rows: Array, words: Sequence[str], alphabet: Alphabet, costs: Costs) -> float:
    """Return the score of the best path: ``-`` is blank, ``*`` foreign speech, ``?`` any word."""
    spaced = " " in alphabet.symbols
    labels = [*alphabet.symbols, "-", "*", "?"]
    highest = rows.max(axis=1) - costs.unmatched_frame
    emitted = np.concatenate([rows, highest[:, None], highest[:, None]], axis=1)
    edge = "[- *]*" if spaced else "[-*]*"
    patterns = []
    for kept in itertools.product([False, True], repeat=len(words)):
        pattern, skipped = edge, 0.0
        for number, (word, spoken) in enumerate(zip(words, kept, strict=True)):
            if not spoken:
                skipped += costs.skip_word + costs.skip_symbol * max(1, len(word))
                continue
            symbols = word or "?"
            pattern += f"{re.escape(symbols[0])}+"
            for left, right in pairwise(symbols):
                pattern += f"-{'+' if left == right else '*'}{right}+"
            pattern += f"-* {edge}" if spaced and number + 1 < len(words) else edge
        patterns.append((re.compile(pattern), skipped))
    best = -math.inf
    for path in itertools.product(range(len(labels)), repeat=len(rows)):
        text = "".join(labels[label] for label in path)
        score = sum(emitted[frame, label] for frame, label in enumerate(path))
        runs = len(re.findall(r"\*+", text))
        score -= costs.unmatched_entry * runs if runs else 0.0
        for allowed, skipped in patterns:
            if score - skipped > best and allowed.fullmatch(text):
                best = score - skipped
    return best


@given(SEEDS, st.integers(0, 4), WORDS, st.booleans(), st.booleans())
@example(0, 3, ["b", "a"], True, False)  # a word is passed over right after a symbol
@settings(max_examples=40)
def test_it_finds_the_best_of_all_paths(
    seed: int, frames: int, words: list[str], spaced: bool, plain: bool
) -> None:
    alphabet, costs = PLAIN if spaced else UNSPACED, NEVER if plain else COSTS
    if not spaced:  # without a space the repeat across two words needs a blank as within one
        words = words[:1]
    rows = random_rows(seed, frames, alphabet.size)
    found = viterbi_alignment(rows, [alphabet.encode(word) for word in words], alphabet, costs)
    expected = by_enumeration(rows, words, alphabet, costs)
    assert found.score == pytest.approx(expected, abs=1e-4)


@given(SEEDS, st.integers(0, 60), WORDS, st.sampled_from([NEVER, COSTS, Costs()]))
def test_times_ascend(seed: int, frames: int, words: list[str], costs: Costs) -> None:
    rows = random_rows(seed, frames, PLAIN.size)
    found = viterbi_alignment(rows, [PLAIN.encode(word) for word in words], PLAIN, costs)
    assert len(found.words) == len(words)
    spans = [(word.start, word.end) for word in found.words if word]
    assert all(start < end for start, end in spans)
    assert all(left[1] <= right[0] for left, right in pairwise(spans))
    assert all(0 <= each.start < each.end <= frames for each in found.unmatched)
    assert all(word.log_probability <= 1e-5 for word in found.words if word)


@given(SEEDS, st.integers(1, 200), WORDS)
@settings(max_examples=30)
def test_blocks_change_nothing(seed: int, frames: int, words: list[str]) -> None:
    rows = random_rows(seed, frames, PLAIN.size)
    ids = [PLAIN.encode(word) for word in words]
    whole = viterbi_alignment(rows, ids, PLAIN, COSTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(viterbi, "_SMALL", 0)
        patch.setattr(viterbi, "_STATE", 1)
        assert viterbi_alignment(rows, ids, PLAIN, COSTS) == whole


@given(st.integers(0, 10**7), st.integers(1, 10**7))
def test_memory_grows_with_the_root_of_the_frames(frames: int, places: int) -> None:
    law = 2 * places * (math.sqrt(24 * frames) + 25) + max(2 * viterbi._SMALL, 50 * places)
    assert lattice_bytes(frames, places) <= law


def test_wild_numbers_end_in_a_result() -> None:
    rows = np.array([[0.0, -np.inf, np.nan, np.inf]] * 5, np.float32)
    assert len(viterbi_alignment(rows, [[1], [], [2, 2]], PLAIN, COSTS).words) == 3
    assert viterbi_alignment(rows[:0], [[1]], PLAIN, COSTS).words == [None]
    nothing = viterbi_alignment(np.full((3, 4), -np.inf, np.float32), [[1]], PLAIN, NEVER)
    assert nothing.words == [None]
    assert nothing.score == -np.inf


@pytest.mark.parametrize(("frames", "count"), [(20_000, 300), (3_000, 2_000)])
def test_memory_is_what_is_promised(frames: int, count: int) -> None:
    rows = np.zeros((frames, PLAIN.size), np.float32)
    words = [[1, 2, 1, 2]] * count
    promised = lattice_bytes(frames, viterbi.places_of(words))
    viterbi_alignment(rows[:10], words[:2], PLAIN)  # compiles
    tracemalloc.start()
    try:
        found = viterbi_alignment(rows, words, PLAIN)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found.words) == count
    per_word = 600  # bytes: the graph and the result
    assert peak <= 1.1 * promised + per_word * count + rows.nbytes + (1 << 16)
    assert promised < frames * viterbi.places_of(words)


def test_a_repeat_needs_a_blank_also_after_a_word_that_is_passed_over() -> None:
    rows = np.log(np.array([[0.98, 0.01, 0.01]] * 2, np.float32))  # of "a" twice, which is one
    found = viterbi_alignment(rows, [[0], [1], [0]], UNSPACED, COSTS)
    assert sum(word is not None for word in found.words) == 1
