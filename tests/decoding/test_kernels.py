"""The parts of the search, each against a plain definition."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from brute_force import random_rows
from hypothesis import given
from hypothesis import strategies as st
from toy_lm import random_lm

from plainspeech.alphabet import Alphabet
from plainspeech.compiling.dispatchers import type_of
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.kernels.alignment import Times, new_lattice
from plainspeech.decoding.kernels.compiled import initial_state
from plainspeech.decoding.kernels.jit import inlined
from plainspeech.decoding.kernels.pruning import prune, select_candidates
from plainspeech.decoding.kernels.records import BEAM, NONE, ROOT, Trie
from plainspeech.decoding.kernels.tries import child
from plainspeech.decoding.lexicon import lay_out
from plainspeech.errors import PlainspeechError

SMALL = Alphabet((" ", "a", "b"))
LARGE = Alphabet(tuple(chr(0x4E00 + index) for index in range(300)))
# Only compiled code can call these.
candidates_of: Any = inlined(
    lambda row, parameters, state: select_candidates(row, parameters, state)
)
selected: Any = inlined(
    lambda beams, count, width, ratio, weights: prune(beams, count, width, ratio, weights)
)
seeds = st.integers(0, 2**32 - 1)


def test_a_lexicon_has_its_words_and_no_others() -> None:
    for alphabet in (SMALL, LARGE):
        symbols, random = alphabet.symbols, np.random.default_rng(0)
        words = {"".join(random.choice(symbols, random.integers(1, 5))) for _ in range(300)}
        layout = lay_out(sorted(words, key=hash), alphabet, "words")
        nodes = np.zeros(len(layout.parents) + 1, [("mask", "u8"), ("first", "i4")])
        layout.fill(nodes)
        trie = Trie(nodes, layout.listed_symbols(alphabet))
        prefixes = {word[:length] for word in words for length in range(len(word) + 1)}
        assert len(layout.parents) == len(prefixes)
        for text in [*prefixes, *(prefix + symbols[-1] for prefix in prefixes)]:
            node = ROOT
            for symbol in alphabet.encode(text):
                node = child(trie, node, symbol) if node != NONE else NONE
            assert (node != NONE) == (text in prefixes)
            if node != NONE:
                assert layout.depths[node] == len(text)
        for word, end in zip(sorted(words, key=hash), layout.ends, strict=True):
            assert layout.depths[end] == len(word)


def test_a_lexicon_names_what_is_wrong() -> None:
    with pytest.raises(PlainspeechError, match="words: 'aé' has 'é'"):
        lay_out(["ab", "aé", "ü"], SMALL, "words")
    with pytest.raises(PlainspeechError, match="words: the string at 1 is empty"):
        lay_out(["ab", ""], SMALL, "words")


@given(seeds, st.floats(0.05, 1.0), st.integers(1, 12), st.floats(-6.0, -0.5))
def test_candidates_are_the_most_probable(seed: int, mass: float, top: int, floor: float) -> None:
    alphabet = Alphabet(tuple("abcdefghi"))
    decoder = BeamSearchDecoder(alphabet, cutoff_prob=mass, cutoff_top_n=top, token_floor=floor)
    context = decoder._context
    state = initial_state(context.parameters, alphabet, context.tables, context.hot_words)
    row = random_rows(seed, 1, alphabet.size)[0]
    count = candidates_of(row, context.parameters, state)
    found = state.candidates["symbol"][:count].tolist()
    for symbol, log_probability in enumerate(row[: alphabet.blank_id]):
        better = row[row > log_probability]  # the blank included
        considered = (
            log_probability >= floor
            and len(better) < top
            and np.exp(better, dtype=np.float64).sum() < mass
        )
        assert (symbol in found) == considered
        expected = np.exp(np.float64(log_probability)) if considered else 0.0
        assert state.probabilities[symbol] == pytest.approx(expected)
    assert len(found) == len(set(found))
    assert alphabet.blank_id not in found
    # A frame that is skipped as blank has no candidates.
    assert row[alphabet.blank_id] < context.parameters.blank_threshold or not found


@given(st.lists(st.integers(0, 12), min_size=1, max_size=40), st.integers(1, 40), st.floats(0, 1))
def test_selection_keeps_the_best(weights: list[int], width: int, ratio: float) -> None:
    beams = np.zeros(len(weights) + 1, BEAM)
    beams["blank"][:-1] = weights
    beams["node"][:-1] = range(len(weights))
    kept = selected(beams, len(weights), width, ratio, np.zeros(len(weights)))
    floor = max(max(weights) * ratio, 5e-324)
    expected = sorted((weight for weight in weights if weight >= floor), reverse=True)[:width]
    assert sorted(beams["blank"][:kept].tolist(), reverse=True) == expected
    assert len(set(beams["node"][:kept].tolist())) == kept
    if kept:
        assert beams["blank"][0] == max(weights)


def test_words_of_large_alphabets_are_decoded() -> None:
    first, second, space = LARGE.symbols[7], LARGE.symbols[250], " "
    alphabet = Alphabet((*LARGE.symbols, space))
    lm = random_lm(0, (first + second, second + first))
    text = f"{first}{second} {second}{first}"
    rows = np.full((len(text), alphabet.size), np.log(0.1 / (alphabet.size - 1)), np.float32)
    rows[np.arange(len(text)), alphabet.encode(text)] = np.log(0.9)
    assert BeamSearchDecoder(alphabet, lm).decode(rows).text == text


@pytest.mark.parametrize(
    "example",
    [
        random_lm(0, ("a", "b")).tables,
        Trie(np.zeros(3, BEAM), np.zeros(0, np.int32)),
        (np.zeros((2, 3), np.float32), 1, 2.0, True, np.int32(5)),
        np.zeros((4, 6))[:, ::2],
        np.zeros((4, 6)).T,
        np.frombuffer(b"1234", np.uint8),
    ],
    ids=["tables", "records", "scalars", "strided", "transposed", "read-only"],
)
def test_types_are_those_that_numba_finds(example: Any) -> None:
    typeof: Any = numba.typeof
    assert type_of(example) == typeof(example)


def test_a_character_ends_where_it_ends_also_where_its_probability_is_no_float() -> None:
    context = BeamSearchDecoder(SMALL)._context
    rows = np.full((5, SMALL.size), -300.0, np.float32)
    rows[:, 1] = -200.0  # the smallest float is the exponential of -103
    times = Times(np.zeros(1, np.int32), np.zeros(1, np.int32), np.zeros(1))
    symbols = np.array([1], np.int32)
    context.kernels.align_text(rows, symbols, context.parameters, new_lattice(5, 1), times)
    assert (times.starts.tolist(), times.ends.tolist()) == ([0], [5])
