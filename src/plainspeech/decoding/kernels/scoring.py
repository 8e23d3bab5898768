"""Extending a hypothesis by a symbol: scores of lexicon, language model and hot words.

Language model look-ahead (S. Ortmanns, H. Ney and A. Eiden, ICSLP 1996): within a word, the weight
includes the highest unigram probability of the words with that beginning. It is replaced by the
probability of the word itself when that ends.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from plainspeech.decoding.kernels.hashing import hash_mix
from plainspeech.decoding.kernels.jit import inlined, kernel, subroutine
from plainspeech.decoding.kernels.records import (
    CHARACTER_MODEL,
    FORBIDDEN,
    IN_HOT_WORD,
    NO_MODEL,
    NONE,
    OUT_OF_LEXICON,
    ROOT,
    UNSCORED,
    WORD_MODEL,
    Ints,
    Record,
    SearchParameters,
    Trie,
    has_phrases,
    integer,
)
from plainspeech.decoding.kernels.tries import child, follow
from plainspeech.lm.tables import EOS_ID, UNKNOWN_ID, NGramTables, score_word

_SPREAD = np.uint64(0xBF58476D1CE4E5B9)
_LARGEST_WEIGHT = 1e200  # far below the largest float, of which beams add up many

_32 = np.uint64(32)


@inlined
def _state_key(lm_state: int, lexicon_node: int, hot_node: int, last: int) -> Any:
    """Return a hash of all that the score of a continuation depends on."""
    history = (np.uint64(lm_state) << _32) ^ np.uint64(lexicon_node)
    return hash_mix(history * _SPREAD, (np.uint64(hot_node) << _32) ^ np.uint64(last))


@kernel
def compute_look_ahead(lexicon: Trie, parents: Ints, tables: Any) -> None:
    """Fill in ``look_ahead`` of the lexicon's nodes, whose ``parents`` are given."""
    nodes = lexicon.nodes
    for node in range(len(parents)):
        nodes[node].look_ahead = -math.inf
    for node in range(len(parents) - 1, ROOT, -1):
        if nodes[node].word != NONE:
            log_probability, _ = _score_likeliest(lexicon, node, 0, tables)
            nodes[node].look_ahead = max(nodes[node].look_ahead, log_probability)
        parent = parents[node]
        nodes[parent].look_ahead = max(nodes[parent].look_ahead, nodes[node].look_ahead)
    nodes[ROOT].look_ahead = 0.0


@inlined
def _score_likeliest(
    lexicon: Trie, node: int, lm_state: int, tables: NGramTables
) -> tuple[float, int]:
    """Return ln p of the likeliest of the words that end at ``node``, and the state after it."""
    word = integer(lexicon.nodes[node].word)
    if word > NONE:
        return score_word(tables, lm_state, word)
    best, best_state, place = -math.inf, lm_state, -2 - word
    while lexicon.homophones[place] != NONE:
        found, state = score_word(tables, lm_state, integer(lexicon.homophones[place]))
        if found > best:
            best, best_state = found, integer(state)
        place += 1
    return best, best_state


@subroutine
def score_word_end(
    beam: Record, parameters: SearchParameters, lexicon: Trie, tables: NGramTables, hot_words: Trie
) -> None:
    """Set ``word_gain`` and ``word_lm_state`` of ``beam``, for a word that ends here."""
    node, gain = integer(beam.lexicon_node), parameters.beta
    if node >= ROOT and lexicon.nodes[node].word != NONE:
        log_probability, lm_state = _score_likeliest(lexicon, node, integer(beam.lm_state), tables)
    else:
        if beam.lexicon_node != OUT_OF_LEXICON and not _ends_hot_word(beam, parameters, hot_words):
            if parameters.unknown_word_penalty == 0.0:
                beam.word_lm_state = FORBIDDEN
                return
            gain -= parameters.unknown_word_penalty
        log_probability, lm_state = score_word(tables, integer(beam.lm_state), UNKNOWN_ID)
    beam.word_gain = gain + parameters.alpha * log_probability
    beam.word_lm_state = lm_state


@inlined
def _ends_hot_word(beam: Record, parameters: SearchParameters, hot_words: Trie) -> bool:
    if not has_phrases(hot_words):
        return False
    node = follow(hot_words, integer(beam.hot_node), parameters.space, parameters.space)
    return node > ROOT and hot_words.nodes[node].waives_penalty != 0


@inlined
def _step_in_hot_words(beam: Record, symbol: int, space: int, hot_words: Trie) -> tuple[int, float]:
    """Return the hot-word node of ``beam`` after ``symbol``, and what it gains by it, nats."""
    node, gain = integer(beam.hot_node), 0.0
    if has_phrases(hot_words):
        if node > ROOT:
            gain -= hot_words.nodes[node].potential
        node = follow(hot_words, node, symbol, space)
        if node > ROOT:
            gain += hot_words.nodes[node].potential + hot_words.nodes[node].reward
    return node, gain


@inlined
def extend(
    beam: Record,
    symbol: int,
    arriving: float,
    floor: float,
    new: Record,
    parameters: SearchParameters,
    lexicon: Trie,
    tables: NGramTables,
    hot_words: Trie,
) -> bool:
    """Write ``beam`` with one more ``symbol`` to ``new``, if it weighs more than ``floor``.

    Where a word ends, `score_word_end` must have been called.

    Args:
        beam: the hypothesis.
        symbol: which is appended.
        arriving: acoustic weight of the alignments that append it.
        floor: weight up to which hypotheses are dropped.
        new: to be written.
        parameters: of the search.
        lexicon: words.
        tables: the language model.
        hot_words: their trie.

    Returns:
        Whether ``new`` was written.
    """
    hot_node, hot_gain = _step_in_hot_words(beam, symbol, parameters.space, hot_words)
    lexicon_node, lm_state = integer(beam.lexicon_node), integer(beam.lm_state)
    gain, ahead = 0.0, 0.0
    if parameters.mode == WORD_MODEL:
        if symbol == parameters.space:
            if beam.word_lm_state == FORBIDDEN:
                return False
            lexicon_node, lm_state = ROOT, integer(beam.word_lm_state)
            gain = beam.word_gain
        else:
            waived = hot_node > ROOT and hot_words.nodes[hot_node].waives_penalty != 0
            lexicon_node, gain, ahead = _step_in_lexicon(beam, symbol, waived, parameters, lexicon)
    elif parameters.mode == CHARACTER_MODEL:
        character = integer(parameters.character_ids[symbol])
        log_probability, lm_state = score_word(tables, lm_state, character)
        gain = parameters.beta + parameters.alpha * log_probability
    total = gain + hot_gain + (ahead - beam.look_ahead)
    weight = arriving if total == 0.0 else arriving * math.exp(total)
    if not weight > floor:  # NaN included
        return False
    weight = min(weight, _LARGEST_WEIGHT)  # finite whatever the scores are
    new.blank, new.symbol = 0.0, weight
    new.lm, new.hot, new.look_ahead = beam.lm + gain, beam.hot + hot_gain, ahead
    new.text = hash_mix(beam.text, symbol)
    new.key = new.text
    if parameters.merge_by_state:
        new.key = _state_key(lm_state, lexicon_node, hot_node, symbol)
    new.node, new.added, new.last = beam.node, symbol, symbol
    new.lexicon_node, new.lm_state, new.hot_node = lexicon_node, lm_state, hot_node
    new.word_lm_state, new.replaced = UNSCORED, NONE
    return True


@inlined
def _step_in_lexicon(
    beam: Record, symbol: int, waived: bool, parameters: SearchParameters, lexicon: Trie
) -> tuple[int, float, float]:
    """Return the lexicon node after a letter, the gain and the look-ahead, nats."""
    if beam.lexicon_node == OUT_OF_LEXICON:
        return OUT_OF_LEXICON, 0.0, beam.look_ahead
    if beam.lexicon_node >= ROOT:
        found = child(lexicon, integer(beam.lexicon_node), symbol)
        if found != NONE:
            return found, 0.0, parameters.alpha * lexicon.nodes[found].look_ahead
    if waived:
        return IN_HOT_WORD, 0.0, parameters.unknown_look_ahead
    penalty = parameters.unknown_word_penalty
    gain = -penalty if penalty > 0.0 else -math.inf
    return OUT_OF_LEXICON, gain, parameters.unknown_look_ahead


@subroutine
def sentence_end_gain(
    beam: Record, parameters: SearchParameters, tables: NGramTables, hot_words: Trie
) -> float:
    """Add the score of the sentence end to ``beam``, and remove that of incomplete hot phrases.

    Returns:
        The logarithm of the factor for the weights, which also removes the look-ahead.
    """
    hot_gain, gain = 0.0, 0.0
    if has_phrases(hot_words) and beam.hot_node > ROOT:
        hot_gain = -hot_words.nodes[beam.hot_node].potential
    if parameters.mode != NO_MODEL and parameters.sentence_end:
        log_probability, _ = score_word(tables, integer(beam.lm_state), EOS_ID)
        gain = parameters.alpha * log_probability
    total = gain + hot_gain - beam.look_ahead
    beam.lm += gain
    beam.hot += hot_gain
    beam.look_ahead = total  # until the weights are multiplied
    return total  # type: ignore[no-any-return]
