"""Where a search begins."""

from __future__ import annotations

import numpy as np

from plainspeech.alphabet import Alphabet
from plainspeech.decoding.kernels import records
from plainspeech.decoding.kernels.confidence import WORD_END, most_word_ends
from plainspeech.lm.interface import Tables


def begin(
    setup: records.Setup, alphabet: Alphabet, tables: Tables, phrases: records.Trie
) -> records.State:
    """Return a search that knows the empty text, before a word and a sentence."""
    candidates = min(alphabet.size - 1, setup.top)
    capacity = setup.width * (candidates + 1) + 1
    head = np.zeros(1, records.HEAD)
    head["beams"] = head["prefixes"] = 1
    head["dead"] = records.NONE
    beams = np.empty((2, capacity), records.BEAM)
    beams[0, 0] = np.zeros((), records.BEAM)
    first = beams[0, 0]
    first["blank"] = 1.0
    first["last"] = setup.blank if setup.space == records.NONE else setup.space
    first["added"] = records.NONE
    first["word_context"] = records.UNSCORED
    first["context"] = tables.bos_state
    first["hot_node"] = records.ROOT if len(phrases.nodes) > 2 else records.DEAD
    return records.State(
        head=head,
        beams=beams,
        slots=np.zeros(1 << (2 * capacity - 1).bit_length(), records.SLOT),
        candidates=np.empty(alphabet.size, records.CANDIDATE),
        probabilities=np.zeros(alphabet.size),
        weights=np.empty(capacity),
        word_ends=np.empty(most_word_ends(setup.width), WORD_END),
    )
