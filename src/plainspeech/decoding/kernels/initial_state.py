"""The state of a search before the first frame."""

from __future__ import annotations

import numpy as np

from plainspeech.alphabet import Alphabet
from plainspeech.decoding.kernels import records
from plainspeech.decoding.kernels.word_posteriors import WORD_END, max_word_ends
from plainspeech.lm.interface import Tables


def initial_state(
    parameters: records.SearchParameters,
    alphabet: Alphabet,
    tables: Tables,
    hot_words: records.Trie,
) -> records.State:
    """Return the state whose one hypothesis is the empty text, at the beginning of a sentence."""
    candidates = min(alphabet.size - 1, parameters.cutoff_top_n)
    capacity = parameters.beam_width * (candidates + 1) + 1
    head = np.zeros(1, records.HEAD)
    head["beams"] = head["prefixes"] = 1
    head["impossible_frame"] = records.NONE
    beams = np.empty((2, capacity), records.BEAM)
    beams[0, 0] = np.zeros((), records.BEAM)
    first = beams[0, 0]
    first["blank"] = 1.0
    first["last"] = parameters.blank if parameters.space == records.NONE else parameters.space
    first["added"] = records.NONE
    first["word_lm_state"] = records.UNSCORED
    first["lm_state"] = tables.bos_state
    first["hot_node"] = records.ROOT if records.has_phrases(hot_words) else records.NO_PHRASE
    return records.State(
        head=head,
        beams=beams,
        slots=np.zeros(1 << (2 * capacity - 1).bit_length(), records.SLOT),
        candidates=np.empty(alphabet.size, records.CANDIDATE),
        probabilities=np.zeros(alphabet.size),
        weights=np.empty(capacity),
        word_ends=np.empty(max_word_ends(parameters.beam_width), WORD_END),
    )
