"""One more symbol for a hypothesis: what lexicon, language model and hot words say of it.

While a word is spelled, its weight has the unigram probability of the most frequent word that
begins so, instead of waiting for its end: look-ahead (S. Ortmanns, H. Ney and A. Eiden, ICSLP
1996). What was added ahead is taken away as soon as the word's own probability is known.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from plainspeech.decoding.kernels.jit import kernel, part, routine
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
    Ints,
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
_27, _30, _31, _32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)


@part
def mixed(value: Any, other: Any) -> Any:
    """Return a hash of two 64-bit numbers (the finaliser of Steele et al.'s SplitMix, 2014)."""
    value = (value ^ np.uint64(other)) + _STEP
    value = (value ^ (value >> _30)) * _FIRST
    value = (value ^ (value >> _27)) * _SECOND
    return value ^ (value >> _31)


@part
def _state_key(context: int, lexical: int, hot_node: int, last: int) -> Any:
    """Return a hash of all that what is to come depends on."""
    history = (np.uint64(context) << _32) ^ np.uint64(lexical)
    return mixed(history * _FIRST, (np.uint64(hot_node) << _32) ^ np.uint64(last))


@kernel
def look_ahead(lexicon: Trie, parents: Ints, tables: Any) -> None:
    """Fill in ``ahead`` of the lexicon's nodes."""
    nodes = lexicon.nodes
    for node in range(len(parents)):
        nodes[node].ahead = -math.inf
    for node in range(len(parents) - 1, ROOT, -1):
        if nodes[node].word != NONE:
            log_probability, _ = score(tables, 0, integer(nodes[node].word))
            nodes[node].ahead = max(nodes[node].ahead, log_probability)
        parent = parents[node]
        nodes[parent].ahead = max(nodes[parent].ahead, nodes[node].ahead)
    nodes[ROOT].ahead = 0.0


@routine
def end_word(beam: Record, setup: Setup, lexicon: Trie, tables: NGramTables, phrases: Trie) -> None:
    """Fill in what ending the word here adds."""
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


@part
def _sponsored_end(beam: Record, setup: Setup, phrases: Trie) -> bool:
    if len(phrases.nodes) == 2:
        return False
    node = follow(phrases, integer(beam.hot_node), setup.space, setup.space)
    return node > ROOT and phrases.nodes[node].sponsor != 0


@part
def extend(
    beam: Record,
    symbol: int,
    arriving: float,
    floor: float,
    new: Record,
    setup: Setup,
    lexicon: Trie,
    tables: NGramTables,
    phrases: Trie,
) -> bool:
    """Make ``new`` what ``beam`` becomes with ``symbol``, if it weighs more than ``floor``.

    Where a word ends, `end_word` must have been called.

    Args:
        beam: the hypothesis.
        symbol: what it goes on with.
        arriving: weight of its alignments that do.
        floor: least weight.
        new: to be written.
        setup: of the search.
        lexicon: words.
        tables: the language model.
        phrases: hot words.

    Returns:
        Whether ``new`` was made.
    """
    hot_node, hot_gain = integer(beam.hot_node), 0.0
    if len(phrases.nodes) > 2:
        if hot_node > ROOT:
            hot_gain -= phrases.nodes[hot_node].potential
        hot_node = follow(phrases, hot_node, symbol, setup.space)
        if hot_node > ROOT:
            hot_gain += phrases.nodes[hot_node].potential + phrases.nodes[hot_node].reward
    lexical, context, gain, ahead = integer(beam.lexical), integer(beam.context), 0.0, 0.0
    if setup.mode == WORDS:
        if symbol == setup.space:
            if beam.word_context == FORBIDDEN:
                return False
            lexical, context, gain = ROOT, integer(beam.word_context), beam.word_gain
        else:
            sponsored = hot_node > ROOT and phrases.nodes[hot_node].sponsor != 0
            lexical, gain, ahead = _spell(beam, symbol, sponsored, setup, lexicon)
    elif setup.mode == CHARACTERS:
        log_probability, context = score(tables, context, integer(setup.tokens[symbol]))
        gain = setup.beta + setup.alpha * log_probability
    total = gain + hot_gain + (ahead - beam.ahead)
    weight = arriving if total == 0.0 else arriving * math.exp(total)
    if weight <= floor:
        return False
    new.blank, new.symbol = 0.0, weight
    new.lm, new.hot, new.ahead = beam.lm + gain, beam.hot + hot_gain, ahead
    new.text = mixed(beam.text, symbol)
    new.key = _state_key(context, lexical, hot_node, symbol) if setup.by_state else new.text
    new.node, new.added, new.last = beam.node, symbol, symbol
    new.lexical, new.context, new.hot_node = lexical, context, hot_node
    new.word_context = UNSCORED
    return True


@part
def _spell(
    beam: Record, symbol: int, sponsored: bool, setup: Setup, lexicon: Trie
) -> tuple[int, float, float]:
    """Return the lexicon node after a letter, what that adds, and what is added ahead, nats."""
    if beam.lexical == OUTSIDE:
        return OUTSIDE, 0.0, beam.ahead
    if beam.lexical >= ROOT:
        found = child(lexicon, integer(beam.lexical), symbol)
        if found != NONE:
            return found, 0.0, setup.alpha * lexicon.nodes[found].ahead
    if sponsored:
        return SPONSORED, 0.0, setup.unknown
    gain = -setup.penalty if setup.penalty > 0.0 else -math.inf
    return OUTSIDE, gain, setup.unknown


@routine
def finish_sentence(beam: Record, setup: Setup, tables: NGramTables, phrases: Trie) -> None:
    """Add what the end of the sentence does, after the last word's."""
    hot_gain, gain = 0.0, 0.0
    if len(phrases.nodes) > 2 and beam.hot_node > ROOT:
        hot_gain = -phrases.nodes[beam.hot_node].potential
    if setup.mode != PLAIN and setup.sentence_end:
        log_probability, _ = score(tables, integer(beam.context), EOS_ID)
        gain = setup.alpha * log_probability
    beam.lm += gain
    beam.hot += hot_gain
    factor = math.exp(gain + hot_gain - beam.ahead)
    beam.blank *= factor
    beam.symbol *= factor
    beam.ahead = 0.0
