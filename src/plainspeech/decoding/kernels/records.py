"""The data structures of the search: flat arrays of records.

A hypothesis is a prefix of the text (Graves et al., 2006) with its states in lexicon, language
model and hot words. Its probability is stored linearly, as its weight, and the logarithm of a
factor common to all weights separately, so that sums over alignments are plain additions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from plainspeech.compiling.lazy import jitable

Records = npt.NDArray[Any]
Record = Any
Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

integer: Any = np.int64
"""Makes any integer a 64-bit one; for mypy, ints as they are."""

NONE = -1
"""No symbol, no child, no word."""

ROOT = 0
"""The node of a trie at which words begin."""

OUT_OF_LEXICON = -1
"""In place of a lexicon node: in a word outside the lexicon, with its penalty applied."""

IN_HOT_WORD = -2
"""In place of a lexicon node: outside the lexicon without a penalty, along a hot word."""

NO_PHRASE = -1
"""In place of a hot-word node: in a word with which no hot phrase continues."""

UNSCORED = -1
"""In place of a language model state: not queried yet."""

FORBIDDEN = -2
"""In place of a language model state: this word must not end here."""

NO_MODEL, WORD_MODEL, CHARACTER_MODEL = 0, 1, 2
"""Without a language model; with one over words; with one over characters."""

TRIE_NODE = np.dtype(
    [
        ("mask", "u8"),  # bit `symbol % 64` for each child
        ("first", "i4"),  # the first of the children, which are neighbours
        ("word", "i4"),  # id of the word that ends here, NONE if there is none; below it, several
        ("look_ahead", "f8"),  # ln p of the most frequent word that begins so
    ],
    align=True,
)
"""A node of the lexicon."""

HOT_NODE = np.dtype(
    [
        ("mask", "u8"),
        ("first", "i4"),
        ("failure_link", "i4"),  # node of the longest shorter suffix that begins a phrase
        ("potential", "f8"),  # nats added for a phrase in progress
        ("reward", "f8"),  # nats of the phrases that are complete here
        ("waives_penalty", "i4"),  # 1 on the path to a phrase of positive weight
    ],
    align=True,
)
"""A node of the hot words, see `plainspeech.decoding.hot_words`; begins as `TRIE_NODE` does."""

PREFIX = np.dtype(
    [
        ("parent", "i4"),  # index of the prefix without the last symbol
        ("symbol", "i4"),  # the last
        ("frame", "i4"),  # in which the prefix first arose
        ("lm", "f4"),  # what the language model has added, nats
        ("posterior", "f4"),  # of the word that ends here; see `word_posteriors`
        ("slot", "i4"),  # scratch of `word_posteriors`, 0 in between
        ("hot", "f4"),  # what hot words have added, nats
        ("recombined", "i4"),  # the latest of the prefixes that this one has replaced, NONE if none
        ("sibling", "i4"),  # the one before it that the same prefix has replaced
        ("share", "f4"),  # ln of its weight in terms of that of the prefix that has replaced it
        ("until", "i4"),  # the last frame in which it was replaced
    ],
    align=True,
)
"""A prefix of a text; those that others have replaced are explained in `recombination`."""

REPLACED = np.dtype(
    [
        ("weight", "f8"),
        ("lm", "f8"),  # as of a hypothesis
        ("hot", "f8"),
        ("node", "i4"),
        ("added", "i4"),
        ("before", "i4"),  # the one before it that the same hypothesis has replaced, NONE if none
    ],
    align=True,
)
"""A hypothesis that another of the same state has replaced in this frame."""

BEAM = np.dtype(
    [
        ("blank", "f8"),  # weight of the alignments that end in the blank
        ("symbol", "f8"),  # weight of those that end in the last symbol
        ("lm", "f8"),  # what the language model has added, nats
        ("hot", "f8"),  # what hot words have added, nats
        ("look_ahead", "f8"),  # part of the next word's score that is in the weights already, nats
        ("word_gain", "f8"),  # nats that ending the word here adds
        ("text", "u8"),  # hash of the prefix
        ("key", "u8"),  # hypotheses with the same key are merged
        ("node", "i4"),  # index of the prefix, without `added`
        ("added", "i4"),  # symbol after it, NONE once both are a prefix in the tree
        ("last", "i4"),  # last symbol
        ("lexicon_node", "i4"),
        ("lm_state", "i4"),
        ("hot_node", "i4"),
        ("word_lm_state", "i4"),  # language model state when the word ends here
        ("replaced", "i4"),  # the latest that it has replaced in this frame, NONE if none
    ],
    align=True,
)
"""A hypothesis."""

CANDIDATE = np.dtype([("log_probability", "f8"), ("symbol", "i8")], align=True)
"""A symbol that is considered in a frame."""

SLOT = np.dtype([("stamp", "i8"), ("place", "i8")], align=True)
"""A slot of the hash table of keys: the frame that wrote it, and the index of the hypothesis."""

HEAD = np.dtype(
    [
        ("log_factor", "f8"),  # logarithm of the factor common to all weights
        ("beams", "i8"),  # number of hypotheses
        ("side", "i8"),  # which half of `State.beams` holds them
        ("prefixes", "i8"),  # number of prefixes
        ("frame", "i8"),  # number of frames decoded
        ("blanked", "i8"),  # 1 while the last frame was skipped as blank
        ("replaced", "i8"),  # number of `State.replaced`
        ("stamp", "i8"),  # of the current frame in `State.slots`
        ("impossible_frame", "i8"),  # a frame without any probability, NONE if there is none
        # For the posteriors of words, which are taken every few frames:
        ("due_before", "i8"),  # words that ended before this frame are updated next
        ("updated_before", "i8"),  # those that ended before this frame have been
        ("compared_before", "i8"),  # those that ended before this frame count no more
    ],
    align=True,
)
"""Counters of a search."""


class Trie(NamedTuple):
    """Strings of symbols, nodes in breadth-first order, one more node as the end.

    Several words that are written with the same symbols, as words that sound alike are in phones,
    end at one node, whose ``word`` is then minus 2 minus the place of the first in ``homophones``.

    Attributes:
        nodes: of type `TRIE_NODE` or `HOT_NODE`.
        symbols: the last symbol of each node; empty for alphabets of at most 64 symbols, where
            the masks tell.
        homophones: ids of words, a NONE after those of each node.
    """

    nodes: Records
    symbols: Ints
    homophones: Ints = np.empty(0, np.int32)


@jitable
def has_phrases(hot_words: Trie) -> bool:
    """Return whether there are hot words."""
    return len(hot_words.nodes) > 2  # more than the root and the end


class SearchParameters(NamedTuple):
    """Parameters of the search; see `plainspeech.decoding.settings.BeamSettings`.

    Attributes:
        mode: `NO_MODEL`, `WORD_MODEL` or `CHARACTER_MODEL`.
        blank: id of the blank; ids of symbols lie below.
        space: id of the space, NONE where there is none.
        beam_width: most hypotheses.
        beam_threshold_ratio: least weight of a hypothesis, relative to the best:
            ``exp(-beam_threshold)``.
        token_floor: least log-probability of a symbol.
        blank_threshold: log-probability of the blank above which no other symbol is considered.
        cutoff_prob: probability that the symbols considered have together.
        cutoff_top_n: most symbols considered.
        alpha: weight of the language model.
        beta: added for each word, nats.
        unknown_word_penalty: subtracted for a word outside the lexicon, nats; 0 forbids them.
        unknown_look_ahead: part of the score of such a word that is in the weights before it ends.
        sentence_end: whether the end of the sentence is scored.
        merge_by_state: hypotheses are merged when their states are equal.
        character_ids: id of each symbol in the vocabulary, for `CHARACTER_MODEL`.
    """

    mode: int
    blank: int
    space: int
    beam_width: int
    beam_threshold_ratio: float
    token_floor: float
    blank_threshold: float
    cutoff_prob: float
    cutoff_top_n: int
    alpha: float
    beta: float
    unknown_word_penalty: float
    unknown_look_ahead: float
    sentence_end: bool
    merge_by_state: bool
    character_ids: Ints


class State(NamedTuple):
    """The search of one utterance between two frames.

    Attributes:
        head: one record `HEAD`.
        beams: ``(2, capacity)``: the hypotheses, and room for the next.
        slots: hash table of keys, of records `SLOT`.
        candidates: the symbols considered in a frame, of records `CANDIDATE`.
        probabilities: of all symbols in the frame, 0 for those not considered.
        weights: scratch.
        word_ends: scratch, of records `WORD_END` of `word_posteriors`.
        replaced: hypotheses that others have replaced in this frame, of records `REPLACED`.
    """

    head: Records
    beams: Records
    slots: Records
    candidates: Records
    probabilities: Doubles
    weights: Doubles
    word_ends: Records
    replaced: Records
