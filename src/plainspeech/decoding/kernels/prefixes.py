"""The tree of prefixes: each is stored once, and refers to its parent.

A parent lies before its children; the empty prefix is the first.
"""

from __future__ import annotations

from plainspeech.decoding.kernels.jit import inlined, kernel
from plainspeech.decoding.kernels.records import NONE, Ints, Records, integer


@kernel
def trace(prefixes: Records, node: int, path: Ints) -> int:
    """Write the indices of a prefix and all its ancestors but the empty one, the prefix last.

    Args:
        prefixes: the tree.
        node: the prefix.
        path: has room for one more than there were frames.

    Returns:
        How many they are.
    """
    length, place = 0, node
    while place > 0:
        length += 1
        place = integer(prefixes[place].parent)
    for index in range(length - 1, -1, -1):
        path[index] = node
        node = integer(prefixes[node].parent)
    return length


@kernel
def common_prefix(prefixes: Records, beams: Records, count: int) -> int:
    """Return the longest common prefix of ``beams[:count]``."""
    node = integer(beams[0].node)
    for place in range(1, count):
        other = integer(beams[place].node)
        while node != other:
            if node > other:
                node = integer(prefixes[node].parent)
            else:
                other = integer(prefixes[other].parent)
    return node  # type: ignore[no-any-return]


@kernel
def collect_garbage(
    prefixes: Records, used: int, beams: Records, count: int, places: Ints, waiting: Ints
) -> int:
    """Remove the prefixes that no text of ``beams[:count]`` has; return how many are left.

    Texts with a prefix that another one has replaced are among them.

    Args:
        prefixes: the tree.
        used: how many prefixes there are.
        beams: the hypotheses.
        count: of them.
        places: ``used`` zeros.
        waiting: scratch, as long.
    """
    length = 0
    for place in range(count):
        length = _reach(integer(beams[place].node), places, waiting, length)
    while length > 0:
        length -= 1
        node = integer(waiting[length])
        other = integer(prefixes[node].recombined)
        length = _reach(integer(prefixes[node].parent), places, waiting, length)
        while other != NONE:
            length = _reach(other, places, waiting, length)
            other = integer(prefixes[other].sibling)
    kept = 1
    for node in range(1, used):
        if places[node] != 0:
            places[node] = kept
            kept += 1
    for node in range(1, used):
        if places[node] != 0:
            prefix = prefixes[node]
            prefix.parent = places[prefix.parent]
            if prefix.recombined != NONE:
                prefix.recombined = places[prefix.recombined]
            if prefix.sibling != NONE:
                prefix.sibling = places[prefix.sibling]
            prefixes[places[node]] = prefix
    for place in range(count):
        beams[place].node = places[beams[place].node]
    return kept


@inlined
def _reach(node: int, places: Ints, waiting: Ints, length: int) -> int:
    """Have ``node`` wait, if it was not reached before; return how many wait."""
    if node > 0 and places[node] == 0:
        places[node], waiting[length] = 1, node
        length += 1
    return length
