"""What the search works on: flat arrays of records.

A hypothesis is a prefix of the text (Graves et al., 2006) with what the language model and the
hot words need to know of it. Its probability is kept as a plain number, not as a logarithm, beside
one common factor for all: sums over alignments are then additions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

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

OUTSIDE = -1
"""In place of a lexicon node: in a word that is not in the lexicon, its penalty paid."""

SPONSORED = -2
"""In place of a lexicon node: outside the lexicon, as far as a hot word goes."""

DEAD = -1
"""In place of a hot-word node: in a word that no hot phrase goes on with."""

UNSCORED = -1
"""In place of a language model state: not asked for."""

FORBIDDEN = -2
"""In place of a language model state: this word must not end here."""

PLAIN, WORDS, CHARACTERS = 0, 1, 2
"""Without a language model; one over words; one over characters."""

TRIE_NODE = np.dtype([("mask", "u8"), ("first", "i4"), ("word", "i4"), ("ahead", "f8")], align=True)
"""Bit ``symbol % 64`` for each child; the first of the children, which are neighbours; the word
that ends here; ln p of the most frequent word that begins so."""

HOT_NODE = np.dtype(
    [
        ("mask", "u8"),
        ("first", "i4"),
        ("link", "i4"),
        ("potential", "f8"),
        ("reward", "f8"),
        ("sponsor", "i4"),
    ],
    align=True,
)
"""As `TRIE_NODE`; see `plainspeech.decoding.hot_words` for the rest."""

PREFIX = np.dtype(
    [
        ("parent", "i4"),  # its place
        ("symbol", "i4"),  # the last
        ("frame", "i4"),  # in which the prefix first arose
        ("lm", "f4"),  # what the language model has added, nats
        ("share", "f4"),  # of hypotheses with the word that ends here; see `confidence`
        ("slot", "i4"),  # scratch of `confidence`, 0 in between
    ],
    align=True,
)
"""A prefix of a text."""

BEAM = np.dtype(
    [
        ("blank", "f8"),  # weight of the alignments that end in the blank
        ("symbol", "f8"),  # weight of those that end in the last symbol
        ("lm", "f8"),  # what the language model has added, nats
        ("hot", "f8"),  # what hot words have added, nats
        ("ahead", "f8"),  # what of the next word's score is in the weights already, nats
        ("word_gain", "f8"),  # what ending the word here adds, nats
        ("text", "u8"),  # hash of the prefix
        ("key", "u8"),  # hypotheses with the same are one
        ("node", "i4"),  # place of the prefix, less `added`
        ("added", "i4"),  # symbol that follows it, NONE once that has a place
        ("last", "i4"),  # last symbol
        ("lexical", "i4"),  # lexicon node
        ("context", "i4"),  # language model state
        ("hot_node", "i4"),
        ("word_context", "i4"),  # language model state when the word ends here
    ],
    align=True,
)

CANDIDATE = np.dtype([("log_probability", "f8"), ("symbol", "i8")], align=True)
"""A symbol that is considered in a frame."""

SLOT = np.dtype([("stamp", "i8"), ("place", "i8")], align=True)
"""A slot of the hash table of keys: the frame that it is of, and the place of the hypothesis."""

HEAD = np.dtype(
    [
        ("log_factor", "f8"),  # logarithm of the factor common to all weights
        ("beams", "i8"),  # how many there are
        ("side", "i8"),  # which half of `State.beams` holds them
        ("prefixes", "i8"),  # how many there are
        ("frame", "i8"),  # how many were decoded
        ("blanked", "i8"),  # 1 while the last frame passed as blank
        ("stamp", "i8"),  # of the present frame in `State.slots`
        ("dead", "i8"),  # a frame without any probability, NONE if there is none
        ("due", "i8"),  # words that ended before this frame are weighed next
        ("weighed", "i8"),  # those that ended before this frame have been
        ("compared", "i8"),  # those that ended before this frame count no more
    ],
    align=True,
)


class Trie(NamedTuple):
    """Strings of symbols, nodes in breadth-first order, one more node as the end.

    Attributes:
        nodes: of type `TRIE_NODE` or `HOT_NODE`.
        symbols: the last symbol of each node; empty for alphabets of at most 64 symbols, where
            the masks tell.
    """

    nodes: Records
    symbols: Ints


class Setup(NamedTuple):
    """What is the same for all utterances; see `plainspeech.decoding.settings`.

    Attributes:
        mode: `PLAIN`, `WORDS` or `CHARACTERS`.
        blank: id of the blank; ids of symbols lie below.
        space: id of the space, NONE where there is none.
        width: most hypotheses.
        ratio: least weight of a hypothesis, relative to the best.
        floor: least log-probability of a symbol.
        skip: log-probability of the blank above which no symbol is considered.
        mass: of the symbols considered.
        top: most symbols considered.
        alpha: weight of the language model.
        beta: added for each word, nats.
        penalty: subtracted for a word outside the lexicon, nats; 0 forbids such words.
        unknown: what of the score of a word outside the lexicon is in the weights before it ends.
        by_state: hypotheses are one when nothing to come can tell them apart.
        tokens: id of each symbol in the vocabulary, for `CHARACTERS`.
    """

    mode: int
    blank: int
    space: int
    width: int
    ratio: float
    floor: float
    skip: float
    mass: float
    top: int
    alpha: float
    beta: float
    penalty: float
    unknown: float
    by_state: bool
    tokens: Ints


class State(NamedTuple):
    """Where the search of one utterance stands.

    Attributes:
        head: one record `HEAD`.
        beams: ``(2, capacity)``: the hypotheses, and room for the next.
        slots: hash table of keys, of records `SLOT`.
        candidates: the symbols considered in a frame, of records `CANDIDATE`.
        probabilities: of all symbols in the frame, 0 for those not considered.
        weights: scratch.
        word_ends: scratch, of records `WORD_END` of `plainspeech.decoding.kernels.confidence`.
    """

    head: Records
    beams: Records
    slots: Records
    candidates: Records
    probabilities: Doubles
    weights: Doubles
    word_ends: Records
