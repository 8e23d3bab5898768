"""One frame: every hypothesis as it is, and with each of the candidate symbols."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from plainspeech.decoding.kernels.jit import inlined
from plainspeech.decoding.kernels.pruning import begin_frame, insert, merge_or_insert
from plainspeech.decoding.kernels.records import (
    CHARACTER_MODEL,
    NO_PHRASE,
    ROOT,
    UNSCORED,
    WORD_MODEL,
    Doubles,
    Record,
    SearchParameters,
    State,
    Trie,
    has_phrases,
)
from plainspeech.decoding.kernels.scoring import extend, score_word_end
from plainspeech.lm.tables import NGramTables

_ONE = np.uint64(1)
_NONE_EXCLUDED = np.uint64(0)


@inlined
def expand(
    candidates: int,
    blank: float,
    parameters: SearchParameters,
    lexicon: Trie,
    tables: NGramTables,
    hot_words: Trie,
    state: State,
) -> int:
    """Write the hypotheses after a frame to the other half of ``state.beams``.

    Args:
        candidates: how many of ``state.candidates`` there are.
        blank: probability of the blank.
        parameters: of the search.
        lexicon: words.
        tables: the language model.
        hot_words: their trie.
        state: of the search.

    Returns:
        How many hypotheses there are now.
    """
    head = state.head[0]
    olds, news, alive = state.beams[head.side], state.beams[1 - head.side], head.beams
    head.replaced = 0
    slots = begin_frame(2 * alive * (candidates + 1), state)
    best = 0.0
    for place in range(alive):
        news[place] = olds[place]
        _stay(news[place], blank, parameters.space, state.probabilities)
        best = max(best, news[place].blank + news[place].symbol)
        insert(news, place, slots, state)
    count = alive
    for place in range(alive):
        old = olds[place]
        excluded = _excluded_symbols(old, parameters, lexicon, hot_words)
        for candidate in range(candidates):
            symbol = state.candidates[candidate].symbol
            if (excluded >> np.uint64(symbol & 63)) & _ONE and symbol != parameters.space:
                continue
            arriving = _extension_weight(old, symbol, parameters.space, state.probabilities)
            floor = best * parameters.beam_threshold_ratio
            if not arriving * _max_gain(old, symbol, parameters, hot_words) > floor:
                continue
            if symbol == parameters.space and parameters.mode == WORD_MODEL:
                if old.word_lm_state == UNSCORED:
                    score_word_end(old, parameters, lexicon, tables, hot_words)
                news[place].word_lm_state, news[place].word_gain = old.word_lm_state, old.word_gain
            new = news[count]
            if extend(old, symbol, arriving, floor, new, parameters, lexicon, tables, hot_words):
                best = max(best, new.symbol)
                count = merge_or_insert(news, count, slots, state)
    return count  # type: ignore[no-any-return]


@inlined
def _excluded_symbols(
    beam: Record, parameters: SearchParameters, lexicon: Trie, hot_words: Trie
) -> Any:
    """Return bits, `symbol % 64`, of symbols that `extend` refuses after ``beam``.

    Where no word may be outside the lexicon, two thirds of all extensions are such: to ask its node
    once takes a seventh less time than to try each.
    """
    closed = parameters.mode == WORD_MODEL and parameters.unknown_word_penalty == 0.0
    if not closed or has_phrases(hot_words) or beam.lexicon_node < ROOT:
        return _NONE_EXCLUDED
    return ~lexicon.nodes[beam.lexicon_node].mask


@inlined
def _stay(beam: Record, blank: float, space: int, probabilities: Doubles) -> None:
    """Let ``beam`` write nothing: the blank, its last symbol again, or another space."""
    weight = beam.blank + beam.symbol
    repeated = weight if beam.last == space else beam.symbol
    beam.symbol = repeated * probabilities[beam.last]
    beam.blank = weight * blank


@inlined
def _extension_weight(beam: Record, symbol: int, space: int, probabilities: Doubles) -> float:
    """Return the acoustic weight of ``beam`` with ``symbol`` appended."""
    if symbol != beam.last:
        return (beam.blank + beam.symbol) * probabilities[symbol]  # type: ignore[no-any-return]
    # A space after a space, and one before the first word, write nothing.
    return 0.0 if symbol == space else beam.blank * probabilities[symbol]


@inlined
def _max_gain(beam: Record, symbol: int, parameters: SearchParameters, hot_words: Trie) -> float:
    """Return about the most that `extend` multiplies the weight by."""
    gain = 0.0
    if parameters.mode == CHARACTER_MODEL or (
        parameters.mode == WORD_MODEL and symbol == parameters.space
    ):
        gain += parameters.beta - beam.look_ahead
    if beam.hot_node != NO_PHRASE:
        # Beyond the last node lies the most that any node is worth.
        gain += hot_words.nodes[len(hot_words.nodes) - 1].potential
        gain -= hot_words.nodes[beam.hot_node].potential
    return 1.0 if gain == 0.0 else math.exp(gain)
