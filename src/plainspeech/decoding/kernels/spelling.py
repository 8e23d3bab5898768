"""One more symbol for a hypothesis: what lexicon, language model and hot words say of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from plainspeech.decoding.kernels.jit import kernel
from plainspeech.decoding.kernels.records import (
    CHARACTERS,
    FORBIDDEN,
    NONE,
    OUTSIDE,
    PLAIN,
    ROOT,
    SPONSORED,
    UNSCORED,
    WORDS,
    Record,
    Setup,
    Trie,
    integer,
)
from plainspeech.decoding.kernels.tries import child, follow
from plainspeech.lm.tables import EOS_ID, UNKNOWN_ID, NGramTables, score

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_30, _27, _31, _32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)


@kernel
def mixed(value: Any, other: Any) -> Any:
    """Return a hash of two 64-bit numbers (the finaliser of Steele et al.'s SplitMix, 2014)."""
    value = (value ^ np.uint64(other)) + _STEP
    value = (value ^ (value >> _30)) * _FIRST
    value = (value ^ (value >> _27)) * _SECOND
    return value ^ (value >> _31)


@kernel
def key_of(beam: Record, setup: Setup) -> Any:
    """Return the number that hypotheses to be merged with ``beam`` have in common."""
    if not setup.by_state:
        return beam.text
    history = mixed(np.uint64(integer(beam.context)), integer(beam.lexical))
    return mixed(mixed(history, integer(beam.hot_node)), integer(beam.last))


@kernel
def end_word(beam: Record, setup: Setup, lexicon: Trie, tables: NGramTables, phrases: Trie) -> None:
    """Fill in what ending the word here adds, once."""
    if beam.word_context != UNSCORED:
        return
    word = integer(lexicon.nodes[beam.lexical].word) if beam.lexical >= ROOT else NONE
    gain = setup.beta
    if word == NONE:
        word = UNKNOWN_ID
        if beam.lexical != OUTSIDE and not _sponsored_end(beam, setup, phrases):
            if setup.penalty == 0.0:
                beam.word_context = FORBIDDEN
                return
            gain -= setup.penalty
    log_probability, context = score(tables, integer(beam.context), word)
    beam.word_gain = gain + setup.alpha * log_probability
    beam.word_context = context


@kernel
def _sponsored_end(beam: Record, setup: Setup, phrases: Trie) -> bool:
    if len(phrases.nodes) == 2:
        return False
    node = follow(phrases, integer(beam.hot_node), setup.space, setup.space)
    return node > ROOT and phrases.nodes[node].sponsor != 0


@kernel
def extend(
    beam: Record,
    symbol: int,
    new: Record,
    setup: Setup,
    lexicon: Trie,
    tables: NGramTables,
    phrases: Trie,
) -> float:
    """Make ``new`` what ``beam`` becomes with ``symbol``, but for the weights.

    Where a word ends, `end_word` must have been called.

    Returns:
        What the language model and the hot words add, nats; minus infinity for what must not be.
    """
    hot_node, hot_gain = integer(beam.hot_node), 0.0
    if len(phrases.nodes) > 2:
        if hot_node > ROOT:
            hot_gain -= phrases.nodes[hot_node].potential
        hot_node = follow(phrases, hot_node, symbol, setup.space)
        if hot_node > ROOT:
            hot_gain += phrases.nodes[hot_node].potential + phrases.nodes[hot_node].reward
    lexical, context, gain = integer(beam.lexical), integer(beam.context), 0.0
    if setup.mode == WORDS:
        if symbol == setup.space:
            if beam.word_context == FORBIDDEN:
                return -math.inf
            lexical, context, gain = ROOT, integer(beam.word_context), beam.word_gain
        else:
            sponsored = hot_node > ROOT and phrases.nodes[hot_node].sponsor != 0
            lexical, gain = _spell(lexical, symbol, sponsored, setup, lexicon)
    elif setup.mode == CHARACTERS:
        log_probability, context = score(tables, context, integer(setup.tokens[symbol]))
        gain = setup.beta + setup.alpha * log_probability
    new.lm = beam.lm + gain
    new.hot = beam.hot + hot_gain
    new.text = mixed(beam.text, symbol)
    new.node, new.added, new.last = beam.node, symbol, symbol
    new.lexical, new.context, new.hot_node = lexical, context, hot_node
    new.word_context = UNSCORED
    new.key = key_of(new, setup)
    return gain + hot_gain


@kernel
def _spell(
    lexical: int, symbol: int, sponsored: bool, setup: Setup, lexicon: Trie
) -> tuple[int, float]:
    """Return the lexicon node after a letter, and what that adds, nats."""
    if lexical == OUTSIDE:
        return OUTSIDE, 0.0
    if lexical >= ROOT:
        found = child(lexicon, lexical, symbol)
        if found != NONE:
            return found, 0.0
    if sponsored:
        return SPONSORED, 0.0
    if setup.penalty > 0.0:
        return OUTSIDE, -setup.penalty
    return OUTSIDE, -math.inf


@kernel
def finish_sentence(beam: Record, setup: Setup, tables: NGramTables, phrases: Trie) -> float:
    """Add what the end of the sentence does to ``beam``; return that, nats."""
    hot_gain, gain = 0.0, 0.0
    if len(phrases.nodes) > 2 and beam.hot_node > ROOT:
        hot_gain = -phrases.nodes[beam.hot_node].potential
    if setup.mode != PLAIN:
        log_probability, _ = score(tables, integer(beam.context), EOS_ID)
        gain = setup.alpha * log_probability
    beam.lm += gain
    beam.hot += hot_gain
    return gain + hot_gain
