"""Steps in the lexicon and among the hot words."""

from __future__ import annotations

from typing import Any

import numpy as np

from plainspeech.decoding.kernels.jit import kernel, part, routine
from plainspeech.decoding.kernels.records import DEAD, NONE, ROOT, Doubles, Ints, Trie, integer

_ONE = np.uint64(1)
_TWO = np.uint64(2)
_FOUR = np.uint64(4)
_TOP_BYTE = np.uint64(56)
_PAIRS = np.uint64(0x5555555555555555)
_FOURS = np.uint64(0x3333333333333333)
_BYTES = np.uint64(0x0F0F0F0F0F0F0F0F)
_SUM = np.uint64(0x0101010101010101)


@part
def ones(bits: Any) -> int:
    """Return how many bits are set; compilers know this form for one instruction."""
    bits = bits - ((bits >> _ONE) & _PAIRS)
    bits = (bits & _FOURS) + ((bits >> _TWO) & _FOURS)
    bits = (bits + (bits >> _FOUR)) & _BYTES
    return integer((bits * _SUM) >> _TOP_BYTE)  # type: ignore[no-any-return]


@part
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


@routine
def follow(phrases: Trie, node: int, symbol: int, space: int) -> int:
    """Return the hot-word node after ``symbol``.

    It stands for the longest end of the text, from a word's beginning on, with which a phrase
    begins (Aho and Corasick, 1975, at the beginnings of words alone).
    """
    while node != DEAD:
        found = child(phrases, node, symbol)
        if found != NONE or node == ROOT:
            return found  # no child of the root: no phrase begins with this word
        node = integer(phrases.nodes[node].link)
    return ROOT if symbol == space else DEAD


@kernel
def link_phrases(
    phrases: Trie,
    parents: Ints,
    symbols: Ints,
    depths: Ints,
    weights: Doubles,
    slopes: Doubles,
    space: int,
) -> None:
    """Complete the nodes of ``phrases``; the one beyond the last has the most that any is worth.

    Args:
        phrases: whose nodes have masks and first children.
        parents: of each node.
        symbols: the last of each node.
        depths: characters from the root to each node.
        weights: of the phrase that ends at each node, 0 elsewhere.
        slopes: zeros; become the most nats a character of the phrases that go on from each node.
        space: its id.
    """
    nodes, count = phrases.nodes, len(parents)
    for node in range(count - 1, 0, -1):
        parent = parents[node]
        slopes[parent] = max(slopes[parent], slopes[node], weights[node] / depths[node])
        if weights[node] > 0.0 or nodes[node].sponsor != 0:
            nodes[node].sponsor = nodes[parent].sponsor = 1
    for node in range(1, count):
        parent, here = parents[node], nodes[node]
        here.potential = slopes[node] * depths[node]
        here.reward = weights[node]
        here.link = DEAD
        if parent != ROOT:
            here.link = follow(phrases, integer(nodes[parent].link), symbols[node], space)
        if here.link > ROOT:
            link = nodes[here.link]
            here.potential = max(here.potential, link.potential)
            here.reward += link.reward
            here.sponsor = max(here.sponsor, link.sponsor)
        nodes[count].potential = max(nodes[count].potential, here.potential + here.reward)
