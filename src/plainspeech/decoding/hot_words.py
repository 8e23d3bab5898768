"""Words and phrases that are wanted, or not, in this utterance.

They are a trie over characters, each phrase with the space after it. A text stands at the node
for its longest end, from a word's beginning on, with which a phrase begins; so every occurrence
of a phrase as whole words is found in one pass (A. V. Aho and M. J. Corasick, CACM 18 (6), 1975).
A node has a reward, the weights of the phrases complete there, and a potential: a share of the
weight of the best phrase under way, by characters. A step gives the difference of potentials and
the reward, so what was lent is paid back as soon as a phrase does not go on, and a whole text
has exactly the weights of the phrases in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from plainspeech.alphabet import Alphabet
from plainspeech.decoding.lexicon import lay_out
from plainspeech.errors import PlainspeechError

if TYPE_CHECKING:
    from plainspeech.decoding.kernels.records import Trie

HotWords = Mapping[str, float]
"""Words and phrases, each with the nats that every occurrence adds; negative for unwanted ones."""

LARGEST_WEIGHT = 100.0
"""Nats; more than any acoustic evidence is worth."""


def build_hot_words(weights: Mapping[str, float], alphabet: Alphabet) -> Trie:
    """Return the phrases of ``weights`` as a trie with links.

    Args:
        weights: nats added for each occurrence of a word or phrase, or taken away where negative.
        alphabet: has all their characters.

    Raises:
        PlainspeechError: a phrase is empty, or has a character outside the alphabet; a weight is
            no number up to `LARGEST_WEIGHT`; the alphabet has no space to tell words by.
    """
    from plainspeech.decoding.kernels.records import HOT_NODE, Trie

    _check(weights, alphabet)
    phrases = {" ".join(phrase.split()) + " ": weight for phrase, weight in weights.items()}
    layout = lay_out(list(phrases), alphabet, "hot_words")
    nodes = np.zeros(len(layout.parents) + 1, HOT_NODE)
    layout.fill(nodes)
    trie = Trie(nodes, layout.listed_symbols(alphabet))
    if phrases:
        from plainspeech.decoding.kernels.tries import link_hot_words

        own, slopes = np.zeros((2, len(layout.parents)))
        own[layout.ends] = list(phrases.values())
        space = alphabet.encode(" ")[0]
        link_hot_words(trie, layout.parents, layout.symbols, layout.depths, own, slopes, space)
    return trie


def _check(weights: Mapping[str, float], alphabet: Alphabet) -> None:
    if weights and " " not in alphabet.symbols:
        raise PlainspeechError("hot_words: the alphabet has no space, so there are no words")
    for phrase, weight in weights.items():
        if not phrase.split():
            raise PlainspeechError("hot_words: a phrase is empty")
        if not (math.isfinite(weight) and abs(weight) <= LARGEST_WEIGHT):
            raise PlainspeechError(
                f"hot_words: {phrase!r} has the weight {weight!r}; "
                f"it must be from -{LARGEST_WEIGHT:g} to {LARGEST_WEIGHT:g}"
            )
