"""N-gram models flattened into arrays, and their queries as compiled code.

A *state* stands for the words that are left of the next one, as far as the model has use for
them. State 0 is the empty context; every n-gram that can be a context is one more state. The
table of n-grams is a hash table with open addressing, keyed by state and word: a query is one
place in memory for an n-gram that is there, and one more for every word that it backs off by.

All probabilities are natural logarithms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

UNKNOWN_ID = 0
BOS_ID = 1
EOS_ID = 2
SPECIAL_WORDS = ("<unk>", "<s>", "</s>")
"""The first words of every vocabulary; a word's id is its place."""

_SLOTS_PER_NGRAM = 1.6
_STATE, _WORD, _PROBABILITY, _NEXT = range(4)  # columns of a slot


class Level(NamedTuple):
    """The n-grams of one order, sorted by context and then by word.

    Attributes:
        contexts: ``(n-grams,)`` int32, the row of all but the last word in the level below; zeros
            for unigrams.
        words: ``(n-grams,)`` int32, the last word. Unigrams are the whole vocabulary, in order.
        probabilities: ``(n-grams,)`` float32, natural logarithms.
        backoffs: ``(n-grams,)`` float32, natural logarithms; zeros in the highest order.
    """

    contexts: Ints
    words: Ints
    probabilities: Floats
    backoffs: Floats


class NGramTables(NamedTuple):
    """A model as arrays; compiled code takes it as it is.

    Attributes:
        unigrams: ``(vocabulary,)``, ln p(word).
        unigram_states: ``(vocabulary,)``, the state after the word alone.
        slots: ``(slots, 4)`` int32: state (-1 in an empty slot), word, bits of the probability,
            next state.
        values: the same memory as float32, for the probabilities.
        backoffs: ``(states,)``, what is added to the probability of a word that the state lacks.
        shorter: ``(states,)``, the state with fewer words to go on with then.
        bos_state: the state after ``<s>``.
    """

    unigrams: Floats
    unigram_states: Ints
    slots: Ints
    values: Floats
    backoffs: Floats
    shorter: Ints
    bos_state: np.int32


@njit(nogil=True, cache=True)
def score(tables: NGramTables, state: int, word: int) -> tuple[float, int]:
    """Return ln p(word | state) and the next state."""
    penalty = np.float32(0.0)
    while state != 0:
        slot = find(tables.slots, state, word)
        if tables.slots[slot, _STATE] >= 0:
            return penalty + tables.values[slot, _PROBABILITY], tables.slots[slot, _NEXT]
        penalty += tables.backoffs[state]
        state = tables.shorter[state]
    return penalty + tables.unigrams[word], tables.unigram_states[word]


@njit(nogil=True, cache=True)
def find(slots: Ints, state: int, word: int) -> int:
    """Return the slot of ``word`` after ``state``, or the empty one where it would be."""
    key = (np.uint64(state) << np.uint64(32)) | np.uint64(word)
    mixed = (key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
    # A multiplication in place of a division (D. Lemire, ACM TOMACS 29 (1), 2019).
    slot = int(np.int64((mixed * np.uint64(len(slots))) >> np.uint64(32)))
    while slots[slot, _STATE] >= 0 and (slots[slot, _STATE] != state or slots[slot, _WORD] != word):
        slot += 1
        if slot == len(slots):
            slot = 0
    return slot


def build_tables(levels: Sequence[Level]) -> NGramTables:
    """Flatten a model.

    Args:
        levels: unigrams, bigrams and so on.
    """
    # The n-gram in row r is the state r plus what this tells for its order; 0 is no n-gram.
    firsts = np.cumsum([1, *(len(level.words) for level in levels)])
    tables = _room(levels[0], _extended(levels, 1), states=firsts[-2], ngrams=firsts[-1])
    for order, level in enumerate(levels[1:], start=2):
        below, first = firsts[order - 2], firsts[order - 1]
        if order < len(levels):
            tables.backoffs[first : first + len(level.words)] = level.backoffs
        _insert(tables, level, _extended(levels, order), below, first)
    return tables


def _extended(levels: Sequence[Level], order: int) -> npt.NDArray[np.bool_]:
    """Return which n-grams of ``order`` say something about the word after them."""
    extended = np.zeros(len(levels[order - 1].words), np.bool_)
    if order < len(levels):
        extended[levels[order - 1].backoffs != 0] = True
        extended[levels[order].contexts] = True
    return extended


def _room(
    unigrams: Level, extended: npt.NDArray[np.bool_], states: int, ngrams: int
) -> NGramTables:
    """Return tables of ``unigrams`` alone, with room for the rest."""
    unigram_states = np.where(extended, unigrams.words + 1, 0).astype(np.int32)
    slots = np.full((int(_SLOTS_PER_NGRAM * ngrams), 4), -1, np.int32)
    backoffs = np.zeros(max(states, 1 + len(extended)), np.float32)
    backoffs[1 : 1 + len(extended)] = unigrams.backoffs
    return NGramTables(
        unigrams=unigrams.probabilities,
        unigram_states=unigram_states,
        slots=slots,
        values=slots.view(np.float32),
        backoffs=backoffs,
        shorter=np.zeros_like(backoffs, np.int32),
        bos_state=unigram_states[BOS_ID],
    )


@njit(nogil=True, cache=True)
def _insert(
    tables: NGramTables, level: Level, extended: npt.NDArray[np.bool_], below: int, first: int
) -> None:
    """Add the n-grams of ``level``; ``below`` and ``first`` are the states of rows 0."""
    for row in range(len(level.words)):
        context, word = below + level.contexts[row], level.words[row]
        # All that is shorter is in the tables already.
        _, following = score(tables, tables.shorter[context], word)
        if extended[row]:
            tables.shorter[first + row] = following
            following = first + row
        slot = find(tables.slots, context, word)
        tables.slots[slot, _STATE] = context
        tables.slots[slot, _WORD] = word
        tables.values[slot, _PROBABILITY] = level.probabilities[row]
        tables.slots[slot, _NEXT] = following
