"""N-gram models flattened into arrays, and their queries as compiled code.

A *state* stands for the context: the preceding words, as far as the model depends on them. State 0
is the empty context; every n-gram that is the context of a longer one, or has a back-off weight, is
one more state. Each state has its own small hash table of the words that follow it (open
addressing, linear probing), so a query reads two places in memory, and two more for every back-off.
Most n-grams are not states; the shorter n-gram that is the state after one of them is found at its
first query and stored: to find all of them (`find_states`) would take most of the loading time. It
is done for tables that are kept on disk.

All probabilities are natural logarithms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from plainspeech.compiling.lazy import compiled, when_compiling

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

UNKNOWN_ID = 0
BOS_ID = 1
EOS_ID = 2
SPECIAL_WORDS = ("<unk>", "<s>", "</s>")
"""The first words of every vocabulary; a word's id is its place."""

LARGEST_ORDER = 16
"""The highest order of a model that is read, beyond that of any in use."""

LEAST_LOG, LARGEST_BACKOFF_LOG = -2303.0, 46.0
"""Bounds of the natural logarithms of probabilities and of back-off weights: of 10 to the power of
-1000 and of 20, beyond what any model needs. They keep all sums finite."""

# It allocates nothing: numba need not count references, which would take longer than the query.
_query = compiled(error_model="numpy", _nrt=False)

_FIRST, _SIZE, _SHORTER, _BACKOFF = range(4)  # columns of a state
_WORD, _PROBABILITY, _NEXT = range(3)  # columns of a slot
_NOT_FOUND_YET = -1


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
    """A model as arrays, an argument of compiled code.

    Attributes:
        unigrams: ``(vocabulary,)``, ln p(word).
        unigram_states: ``(vocabulary,)``, the state after the word alone.
        states: ``(states, 4)`` int32: first slot, number of slots, the shorter state to back off to
            for a word that is in no slot, and the bits of the back-off weight.
        backoffs: the same memory as float32.
        slots: ``(slots, 3)`` int32: word (-1 in an empty slot), bits of ln p(word | state), and the
            state after it (-1 before the first query; threads that find it at the same time
            write the same).
        probabilities: the same memory as float32.
        bos_state: the state after ``<s>``.
    """

    unigrams: Floats
    unigram_states: Ints
    states: Ints
    backoffs: Floats
    slots: Ints
    probabilities: Floats
    bos_state: np.int32


@_query
def score_word(tables: Any, state: int, word: int) -> tuple[float, int]:
    """Return ln p(word | state) and the next state.

    Args:
        tables: `NGramTables`, or `plainspeech.lm.kenlm.KenLMTables`.
        state: ``tables.bos_state``, 0, or what was returned.
        word: its id.
    """
    return query(tables, state, word)


def query(tables: Any, state: int, word: int) -> tuple[float, int]:
    """Do what `score_word` does; each type of tables has its own implementation."""
    raise NotImplementedError


@when_compiling
def _implement_query() -> None:
    from numba.extending import overload

    options: Any = {"_nrt": False}  # which its annotations leave out

    @overload(query, jit_options=options)
    def implementation(tables: Any, state: Any, word: Any) -> Any:
        del state, word
        return _query_tables if getattr(tables, "instance_class", None) is NGramTables else None


def _query_tables(tables: Any, state: Any, word: Any) -> Any:
    return _look_up(tables, state, word)


@_query
def _look_up(tables: NGramTables, state: int, word: int) -> tuple[float, int]:
    penalty = np.float32(0.0)
    while state != 0:
        slot = _find(tables, state, word)
        if slot >= 0:
            following = tables.slots[slot, _NEXT]
            if following == _NOT_FOUND_YET:
                following = _following(tables, tables.states[state, _SHORTER], word)
                tables.slots[slot, _NEXT] = following
            return penalty + tables.probabilities[slot, _PROBABILITY], following
        penalty += tables.backoffs[state, _BACKOFF]
        state = tables.states[state, _SHORTER]
    return penalty + tables.unigrams[word], tables.unigram_states[word]


@_query
def _following(tables: NGramTables, state: int, word: int) -> int:
    """Return the state of the longest suffix of ``state`` and ``word`` that has one."""
    while state != 0:
        slot = _find(tables, state, word)
        if slot >= 0 and tables.slots[slot, _NEXT] != _NOT_FOUND_YET:
            return int(tables.slots[slot, _NEXT])
        state = tables.states[state, _SHORTER]
    return int(tables.unigram_states[word])


@_query
def find_states(tables: NGramTables) -> None:
    """Find the state after every n-gram now, as queries would, so that these write nothing.

    Tables that are mapped from a file then need no memory of their own, and threads no copies of
    pages, for each of which all processors have to be told.
    """
    for state in range(1, len(tables.states)):
        first = tables.states[state, _FIRST]
        for slot in range(first, first + tables.states[state, _SIZE]):
            word = tables.slots[slot, _WORD]
            if word >= 0 and tables.slots[slot, _NEXT] == _NOT_FOUND_YET:
                shorter = tables.states[state, _SHORTER]
                tables.slots[slot, _NEXT] = _following(tables, shorter, word)


@_query
def _find(tables: NGramTables, state: int, word: int) -> int:
    """Return the slot of ``word`` after ``state``, -1 where there is none."""
    first, size = tables.states[state, _FIRST], tables.states[state, _SIZE]
    place = _home(word, size)
    for _ in range(size):
        there = tables.slots[first + place, _WORD]
        if there == word:
            return int(first + place)
        if there < 0:
            return -1
        place = place + 1 if place + 1 < size else 0
    return -1


@_query
def _home(word: int, size: int) -> int:
    """Return the first place to probe for ``word`` in a table of ``size``."""
    mixed = (np.uint64(word) * np.uint64(0x9E3779B1)) & np.uint64(0xFFFFFFFF)
    # A multiplication in place of a division (D. Lemire, ACM TOMACS 29 (1), 2019).
    return int(np.int64((mixed * np.uint64(size)) >> np.uint64(32)))


def build_tables(levels: Sequence[Level]) -> NGramTables:
    """Flatten a model.

    Args:
        levels: unigrams, bigrams and so on.
    """
    numbers = _number_states(levels)
    tables = _room(levels, numbers)
    for order in range(1, len(levels)):
        _insert(tables, levels[order], numbers[order - 1], numbers[order])
    return tables


def _number_states(levels: Sequence[Level]) -> list[Ints]:
    """Return the state of each n-gram, 0 for those that are never a context."""
    numbers, count = [], 1
    for order, level in enumerate(levels, start=1):
        extended = level.backoffs != 0
        if order < len(levels):
            extended[levels[order].contexts] = True
        else:
            extended[:] = False
        numbers.append(np.where(extended, count - 1 + np.cumsum(extended, dtype=np.int32), 0))
        count += int(extended.sum())
    return [number.astype(np.int32) for number in numbers]


def _room(levels: Sequence[Level], numbers: Sequence[Ints]) -> NGramTables:
    """Return tables of the unigrams alone, with room for the rest."""
    sizes, backoffs = [np.zeros(1, np.int64)], [np.zeros(1, np.float32)]
    for level, longer, number in zip(levels, levels[1:], numbers, strict=False):
        children = np.bincount(longer.contexts, minlength=len(level.words))
        # A load factor of two thirds keeps searches short, also for words that are not there.
        sizes.append(children[number > 0] * 3 // 2)
        backoffs.append(level.backoffs[number > 0])
    size = np.concatenate(sizes)
    states = np.zeros((len(size), 4), np.int32)
    states[:, _FIRST] = np.cumsum(size) - size
    states[:, _SIZE] = size
    backoff = states.view(np.float32)
    backoff[:, _BACKOFF] = np.concatenate(backoffs)
    slots = np.full((size.sum(), 3), -1, np.int32)
    return with_views(levels[0].probabilities, numbers[0], states, slots)


def with_views(unigrams: Floats, unigram_states: Ints, states: Ints, slots: Ints) -> NGramTables:
    """Return tables with these arrays and views of them."""
    return NGramTables(
        unigrams=unigrams,
        unigram_states=unigram_states,
        states=states,
        backoffs=states.view(np.float32),
        slots=slots,
        probabilities=slots.view(np.float32),
        bos_state=unigram_states[BOS_ID],
    )


@compiled()
def _insert(tables: NGramTables, level: Level, contexts: Ints, states: Ints) -> None:
    """Add the n-grams of ``level``.

    Args:
        tables: with all that is shorter.
        level: n-grams.
        contexts: the state of each n-gram one shorter.
        states: of each n-gram, 0 where it is none.
    """
    for row in range(len(level.words)):
        context, word, state = contexts[level.contexts[row]], level.words[row], states[row]
        slot = _free_slot(tables, context, word)
        tables.slots[slot, _WORD] = word
        tables.probabilities[slot, _PROBABILITY] = level.probabilities[row]
        if state != 0:
            shorter = tables.states[context, _SHORTER]
            tables.states[state, _SHORTER] = _following(tables, shorter, word)
            tables.slots[slot, _NEXT] = state


@compiled()
def _free_slot(tables: NGramTables, state: int, word: int) -> int:
    first, size = tables.states[state, _FIRST], tables.states[state, _SIZE]
    place = _home(word, size)
    while tables.slots[first + place, _WORD] >= 0:
        place = place + 1 if place + 1 < size else 0
    return int(first + place)
