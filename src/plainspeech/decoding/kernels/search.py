"""The beam search, frame by frame.

CTC prefix beam search: A. Hannun et al., "First-Pass Large Vocabulary Continuous Speech
Recognition using Bi-Directional Recurrent DNNs", 2014. A. Graves et al., ICML 2006, has the sums.
"""

from __future__ import annotations

import math

import numpy as np

from plainspeech.decoding.kernels.expansion import expand
from plainspeech.decoding.kernels.jit import inlined, kernel, subroutine
from plainspeech.decoding.kernels.pruning import clear_candidates, commit, prune, select_candidates
from plainspeech.decoding.kernels.records import (
    CHARACTER_MODEL,
    NONE,
    Floats,
    Record,
    Records,
    SearchParameters,
    State,
    Trie,
    integer,
)
from plainspeech.decoding.kernels.scoring import sentence_end_gain
from plainspeech.decoding.kernels.word_posteriors import PERIOD, update_word_posteriors
from plainspeech.lm.tables import NGramTables

_SMALL, _LARGE = 1e-100, 1e100  # beyond these, weights are scaled to 1
_SMALLEST = 1e-300  # the inverse of a float that is much smaller is not finite


@kernel
def advance(
    rows: Floats,
    ends: bool,
    parameters: SearchParameters,
    lexicon: Trie,
    tables: NGramTables,
    hot_words: Trie,
    state: State,
    prefixes: Records,
) -> None:
    """Decode more frames.

    Args:
        rows: ``(frames, symbols)`` log-probabilities.
        ends: whether the utterance ends with them.
        parameters: of the search.
        lexicon: whose words have their ids in ``tables``.
        tables: the language model.
        hot_words: their trie.
        state: of the search so far, which is updated.
        prefixes: has room for ``2 * parameters.beam_width`` more a frame, and as many for the end.
    """
    head = state.head[0]
    for frame in range(len(rows) + ends):
        if frame == len(rows):
            count = _force_space(parameters, state)
            blank = 1.0 - count
        elif rows[frame, parameters.blank] >= parameters.blank_threshold:
            _skip_blank(rows[frame, parameters.blank], head, state)
            continue
        else:
            if head.stamp % PERIOD == 0:
                update_word_posteriors(False, parameters.space, state, prefixes)
            count = select_candidates(rows[frame], parameters, state)
            blank = math.exp(np.float64(rows[frame, parameters.blank]))
            if count == 0 and blank == 0.0 and head.impossible_frame == NONE:
                _find_impossible(rows[frame], head)
        new = expand(count, blank, parameters, lexicon, tables, hot_words, state)
        if not _prune_and_swap(new, parameters, state, prefixes):
            # No extension has any probability: the frame is skipped.
            _end_in_blank(state.beams[head.side], head.beams)
            if frame == len(rows):
                _drop_unfinished_words(
                    state.beams[head.side], head.beams, prefixes, parameters.space
                )
        clear_candidates(count, state)
        head.frame += frame < len(rows)
        head.blanked = 0
    if ends:
        _finish(parameters, tables, hot_words, state)
        update_word_posteriors(True, parameters.space, state, prefixes)


@subroutine
def _find_impossible(row: Floats, head: Record) -> None:
    """Note the present frame if the probability of every symbol is 0."""
    highest = -math.inf
    for symbol in range(len(row)):
        highest = max(highest, row[symbol])
    if highest == -math.inf:
        head.impossible_frame = head.frame


@inlined
def _skip_blank(log_probability: float, head: Record, state: State) -> None:
    """Pass a frame in which only the blank is considered."""
    head.log_factor += log_probability
    head.frame += 1
    if head.blanked == 0:
        _end_in_blank(state.beams[head.side], head.beams)
        head.blanked = 1


@inlined
def _force_space(parameters: SearchParameters, state: State) -> int:
    """Make the end of the utterance a frame that is surely a space, which ends the last word.

    Returns:
        The number of candidates: 0 where there are no words.
    """
    if parameters.space == NONE or parameters.mode == CHARACTER_MODEL:
        return 0
    state.candidates[0].symbol = parameters.space
    state.probabilities[parameters.space] = 1.0
    return 1


@inlined
def _finish(
    parameters: SearchParameters, tables: NGramTables, hot_words: Trie, state: State
) -> None:
    """Score the end of the sentence; the best gain becomes part of the common factor."""
    head, best = state.head[0], -math.inf
    beams = state.beams[head.side]
    for place in range(head.beams):
        best = max(best, sentence_end_gain(beams[place], parameters, tables, hot_words))
    if not math.isfinite(best):
        best = 0.0
    for place in range(head.beams):
        factor = math.exp(min(0.0, beams[place].look_ahead - best))
        beams[place].blank *= factor
        beams[place].symbol *= factor
        beams[place].look_ahead = 0.0
    head.log_factor += best


@inlined
def _end_in_blank(beams: Records, count: int) -> None:
    for place in range(count):
        beams[place].blank += beams[place].symbol
        beams[place].symbol = 0.0


@inlined
def _prune_and_swap(
    count: int, parameters: SearchParameters, state: State, prefixes: Records
) -> bool:
    """Replace the hypotheses by the best of the ``count`` new ones, if there are any."""
    head = state.head[0]
    beams = state.beams[1 - head.side]
    count = prune(
        beams, count, parameters.beam_width, parameters.beam_threshold_ratio, state.weights
    )
    if count == 0:
        return False
    best, factor = beams[0].blank + beams[0].symbol, 1.0
    least = best * parameters.beam_threshold_ratio
    if best < _SMALL or best > _LARGE:
        best = max(best, _SMALLEST)
        factor = 1.0 / best
        head.log_factor += math.log(best)
    commit(beams, count, factor, least, parameters, state, prefixes)
    head.beams, head.side = count, 1 - head.side
    return True


@subroutine
def _drop_unfinished_words(beams: Records, count: int, prefixes: Records, space: int) -> None:
    for place in range(count):
        node = integer(beams[place].node)
        while node > 0 and prefixes[node].symbol != space:
            node = integer(prefixes[node].parent)
        beams[place].node = node
