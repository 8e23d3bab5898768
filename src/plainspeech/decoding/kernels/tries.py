"""Steps in the tries of the lexicon and of the hot words."""

from __future__ import annotations

from typing import Any

import numpy as np

from plainspeech.decoding.kernels.jit import inlined, kernel, subroutine
from plainspeech.decoding.kernels.records import NO_PHRASE, NONE, ROOT, Doubles, Ints, Trie, integer

_ONE = np.uint64(1)
_TWO = np.uint64(2)
_FOUR = np.uint64(4)
_TOP_BYTE = np.uint64(56)
_PAIRS = np.uint64(0x5555555555555555)
_FOURS = np.uint64(0x3333333333333333)
_BYTES = np.uint64(0x0F0F0F0F0F0F0F0F)
_SUM = np.uint64(0x0101010101010101)


@inlined
def ones(bits: Any) -> int:
    """Return how many bits are set; compilers turn this form into one instruction."""
    bits = bits - ((bits >> _ONE) & _PAIRS)
    bits = (bits & _FOURS) + ((bits >> _TWO) & _FOURS)
    bits = (bits + (bits >> _FOUR)) & _BYTES
    return integer((bits * _SUM) >> _TOP_BYTE)  # type: ignore[no-any-return]


@inlined
def child(trie: Trie, node: int, symbol: int) -> int:
    """Return the node that ``symbol`` leads to from ``node``, NONE if there is none."""
    here = trie.nodes[node]
    bit = _ONE << np.uint64(symbol & 63)
    if (here.mask & bit) == 0:
        return NONE
    if len(trie.symbols) == 0:
        return integer(here.first) + ones(here.mask & (bit - _ONE))  # type: ignore[no-any-return]
    end = integer(trie.nodes[node + 1].first)
    low, high = integer(here.first), end
    while low < high:
        middle = (low + high) // 2
        if trie.symbols[middle] < symbol:
            low = middle + 1
        else:
            high = middle
    return low if low < end and trie.symbols[low] == symbol else NONE


@subroutine
def follow(hot_words: Trie, node: int, symbol: int, space: int) -> int:
    """Return the hot-word node after ``symbol``.

    It is that of the longest suffix of the text, from the beginning of a word on, that begins a
    phrase (Aho and Corasick, 1975, with suffixes that begin at words only).
    """
    while node != NO_PHRASE:
        found = child(hot_words, node, symbol)
        if found != NONE or node == ROOT:
            return found  # no child of the root: no phrase begins with this word
        node = integer(hot_words.nodes[node].failure_link)
    return ROOT if symbol == space else NO_PHRASE


@kernel
def link_hot_words(
    hot_words: Trie,
    parents: Ints,
    symbols: Ints,
    depths: Ints,
    weights: Doubles,
    slopes: Doubles,
    space: int,
) -> None:
    """Complete the nodes of ``hot_words``; the one beyond the last gets the most any is worth.

    Args:
        hot_words: whose nodes have masks and first children.
        parents: of each node.
        symbols: the last of each node.
        depths: characters from the root to each node.
        weights: of the phrase that ends at each node, 0 elsewhere.
        slopes: zeros; become the most nats a character of the phrases through each node.
        space: its id.
    """
    nodes, count = hot_words.nodes, len(parents)
    for node in range(count - 1, 0, -1):
        parent = parents[node]
        slopes[parent] = max(slopes[parent], slopes[node], weights[node] / depths[node])
        if weights[node] > 0.0 or nodes[node].waives_penalty != 0:
            nodes[node].waives_penalty = nodes[parent].waives_penalty = 1
    for node in range(1, count):
        parent, here = parents[node], nodes[node]
        here.potential = slopes[node] * depths[node]
        here.reward = weights[node]
        here.failure_link = NO_PHRASE
        if parent != ROOT:
            here.failure_link = follow(
                hot_words, integer(nodes[parent].failure_link), symbols[node], space
            )
        if here.failure_link > ROOT:
            link = nodes[here.failure_link]
            here.potential = max(here.potential, link.potential)
            here.reward += link.reward
            here.waives_penalty = max(here.waives_penalty, link.waives_penalty)
        nodes[count].potential = max(nodes[count].potential, here.potential + here.reward)
