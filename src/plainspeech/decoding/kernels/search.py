"""The beam search, frame by frame.

CTC prefix beam search: A. Hannun et al., "First-Pass Large Vocabulary Continuous Speech
Recognition using Bi-Directional Recurrent DNNs", 2014. A. Graves et al., ICML 2006, has the sums.
"""

from __future__ import annotations

import math

import numpy as np

from plainspeech.decoding.kernels.candidates import consider, forget
from plainspeech.decoding.kernels.confidence import PERIOD, weigh_words
from plainspeech.decoding.kernels.expansion import expand
from plainspeech.decoding.kernels.jit import kernel, part, routine
from plainspeech.decoding.kernels.records import (
    CHARACTERS,
    NONE,
    Floats,
    Record,
    Records,
    Setup,
    State,
    Trie,
    integer,
)
from plainspeech.decoding.kernels.selection import select, settle
from plainspeech.decoding.kernels.spelling import finish_sentence
from plainspeech.lm.tables import NGramTables

_SMALL, _LARGE = 1e-100, 1e100  # weights beyond are brought back to one


@kernel
def advance(
    rows: Floats,
    ends: bool,
    setup: Setup,
    lexicon: Trie,
    tables: NGramTables,
    phrases: Trie,
    state: State,
    prefixes: Records,
) -> None:
    """Decode more frames.

    Args:
        rows: ``(frames, symbols)`` log-probabilities.
        ends: whether the utterance ends with them.
        setup: of the search.
        lexicon: whose words have their ids in ``tables``.
        tables: the language model.
        phrases: hot words.
        state: goes on from where it stands.
        prefixes: has room for ``setup.width`` more a frame, and as many for the end.
    """
    head = state.head[0]
    for frame in range(len(rows) + ends):
        if frame == len(rows):
            count = _surely_a_space(setup, state)
            blank = 1.0 - count
        elif rows[frame, setup.blank] >= setup.skip:
            _pass_blank(rows[frame, setup.blank], head, state)
            continue
        else:
            if head.stamp % PERIOD == 0:
                weigh_words(False, setup.space, state, prefixes)
            count = consider(rows[frame], setup, state)
            blank = math.exp(np.float64(rows[frame, setup.blank]))
            if blank == 0.0 and count == 0 and head.dead == NONE:
                head.dead = head.frame
        new = expand(count, blank, setup, lexicon, tables, phrases, state)
        if not _go_on(new, setup, state, prefixes):
            # Nothing that may be has a probability: as if the frame were not there.
            _end_in_blank(state.beams[head.side], head.beams)
            if frame == len(rows):
                _drop_unfinished_words(state.beams[head.side], head.beams, prefixes, setup.space)
        forget(count, state)
        head.frame += frame < len(rows)
        head.blanked = 0
    if ends:
        _finish(setup, tables, phrases, state)
        weigh_words(True, setup.space, state, prefixes)


@part
def _pass_blank(log_probability: float, head: Record, state: State) -> None:
    """Pass a frame in which only the blank is considered."""
    head.log_factor += log_probability
    head.frame += 1
    if head.blanked == 0:
        _end_in_blank(state.beams[head.side], head.beams)
        head.blanked = 1


@part
def _surely_a_space(setup: Setup, state: State) -> int:
    """Make the end of the utterance a frame that ends the last word, as far as there are words."""
    if setup.space == NONE or setup.mode == CHARACTERS:
        return 0
    state.candidates[0].symbol = setup.space
    state.probabilities[setup.space] = 1.0
    return 1


@part
def _finish(setup: Setup, tables: NGramTables, phrases: Trie, state: State) -> None:
    head = state.head[0]
    for place in range(head.beams):
        finish_sentence(state.beams[head.side, place], setup, tables, phrases)


@part
def _end_in_blank(beams: Records, count: int) -> None:
    for place in range(count):
        beams[place].blank += beams[place].symbol
        beams[place].symbol = 0.0


@part
def _go_on(count: int, setup: Setup, state: State, prefixes: Records) -> bool:
    """Let the best of the ``count`` new hypotheses take the place of the old, if there is one."""
    head = state.head[0]
    beams = state.beams[1 - head.side]
    count = select(beams, count, setup.width, setup.ratio, state.weights)
    if count == 0:
        return False
    best, factor = beams[0].blank + beams[0].symbol, 1.0
    if best < _SMALL or best > _LARGE:
        factor = 1.0 / best
        head.log_factor += math.log(best)
    settle(beams, count, factor, head, prefixes)
    head.beams, head.side = count, 1 - head.side
    return True


@routine
def _drop_unfinished_words(beams: Records, count: int, prefixes: Records, space: int) -> None:
    for place in range(count):
        node = integer(beams[place].node)
        while node > 0 and prefixes[node].symbol != space:
            node = integer(prefixes[node].parent)
        beams[place].node = node
