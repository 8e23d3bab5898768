"""What the hypotheses become in a frame: as they are, or with one more symbol."""

from __future__ import annotations

import math

from plainspeech.decoding.kernels.jit import part
from plainspeech.decoding.kernels.records import (
    CHARACTERS,
    DEAD,
    UNSCORED,
    WORDS,
    Doubles,
    Record,
    Setup,
    State,
    Trie,
)
from plainspeech.decoding.kernels.selection import enter, merge, open_table
from plainspeech.decoding.kernels.spelling import end_word, extend
from plainspeech.lm.tables import NGramTables


@part
def expand(
    candidates: int,
    blank: float,
    setup: Setup,
    lexicon: Trie,
    tables: NGramTables,
    phrases: Trie,
    state: State,
) -> int:
    """Write what the hypotheses become to the other half of ``state.beams``.

    Args:
        candidates: how many of ``state.candidates`` there are.
        blank: probability of the blank.
        setup: of the search.
        lexicon: words.
        tables: the language model.
        phrases: hot words.
        state: of the search.

    Returns:
        How many hypotheses there are now.
    """
    head = state.head[0]
    olds, news, alive = state.beams[head.side], state.beams[1 - head.side], head.beams
    slots = open_table(2 * alive * (candidates + 1), state)
    best = 0.0
    for place in range(alive):
        news[place] = olds[place]
        _stay(news[place], blank, setup.space, state.probabilities)
        best = max(best, news[place].blank + news[place].symbol)
        enter(news, place, slots, state)
    count = alive
    for place in range(alive):
        old = olds[place]
        for candidate in range(candidates):
            symbol = state.candidates[candidate].symbol
            arriving = _arriving(old, symbol, setup.space, state.probabilities)
            floor = best * setup.ratio
            if arriving * _lift(old, symbol, setup, phrases) <= floor:
                continue
            if symbol == setup.space and setup.mode == WORDS:
                if old.word_context == UNSCORED:
                    end_word(old, setup, lexicon, tables, phrases)
                news[place].word_context, news[place].word_gain = old.word_context, old.word_gain
            new = news[count]
            if extend(old, symbol, arriving, floor, new, setup, lexicon, tables, phrases):
                best = max(best, new.symbol)
                count = merge(news, count, slots, state)
    return count  # type: ignore[no-any-return]


@part
def _stay(beam: Record, blank: float, space: int, probabilities: Doubles) -> None:
    """Let ``beam`` write nothing: the blank, its last symbol again, or another space."""
    weight = beam.blank + beam.symbol
    repeated = weight if beam.last == space else beam.symbol
    beam.symbol = repeated * probabilities[beam.last]
    beam.blank = weight * blank


@part
def _arriving(beam: Record, symbol: int, space: int, probabilities: Doubles) -> float:
    """Return the weight of the alignments of ``beam`` that go on with ``symbol``."""
    if symbol != beam.last:
        return (beam.blank + beam.symbol) * probabilities[symbol]  # type: ignore[no-any-return]
    # A space after a space, and one before the first word, write nothing.
    return 0.0 if symbol == space else beam.blank * probabilities[symbol]


@part
def _lift(beam: Record, symbol: int, setup: Setup, phrases: Trie) -> float:
    """Return about the most that `extend` can multiply the weight by."""
    gain = 0.0
    if setup.mode == CHARACTERS or (setup.mode == WORDS and symbol == setup.space):
        gain += setup.beta - beam.ahead
    if beam.hot_node != DEAD:
        # Beyond the last node lies the most that any node is worth.
        gain += phrases.nodes[len(phrases.nodes) - 1].potential
        gain -= phrases.nodes[beam.hot_node].potential
    return 1.0 if gain == 0.0 else math.exp(gain)
