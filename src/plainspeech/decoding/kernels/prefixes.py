"""The tree of prefixes: each is stored once, and refers to its parent.

A parent lies before its children; the empty prefix is the first.
"""

from __future__ import annotations

from plainspeech.decoding.kernels.jit import kernel
from plainspeech.decoding.kernels.records import Ints, Records, integer


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
def collect_garbage(prefixes: Records, used: int, beams: Records, count: int, places: Ints) -> int:
    """Remove the prefixes that none of ``beams[:count]`` begins with; return how many are left.

    ``places`` has ``used`` zeros.
    """
    for place in range(count):
        node = integer(beams[place].node)
        while node > 0 and places[node] == 0:
            places[node] = 1
            node = integer(prefixes[node].parent)
    kept = 1
    for node in range(1, used):
        if places[node] != 0:
            prefixes[kept] = prefixes[node]
            prefixes[kept].parent = places[prefixes[node].parent]
            places[node] = kept
            kept += 1
    for place in range(count):
        beams[place].node = places[beams[place].node]
    return kept
