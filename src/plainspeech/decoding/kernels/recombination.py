"""Texts that the search has merged, and finds again when it has ended.

Of hypotheses whose states are equal the search goes on with the best alone. What it replaces is
linked to it in the tree of prefixes; since whatever follows has the same score after both, a text
of the end has another one beside it for each prefix that was replaced on its way, as much worse as
that was then. The best of these texts are found best first, which is exact but for alignments that
reach a prefix after it was replaced (R. Schwartz and S. Austin, "A Comparison of Several
Approximate Algorithms for Finding Multiple (N-Best) Sentence Hypotheses", ICASSP 1991; F. Soong and
E.-F. Huang, "A Tree-Trellis Based Fast Search for Finding the N Best Sentence Hypotheses in
Continuous Speech Recognition", ICASSP 1991).
"""

from __future__ import annotations

import math

import numpy as np

from plainspeech.decoding.kernels.hashing import hash_mix
from plainspeech.decoding.kernels.jit import inlined, kernel, subroutine
from plainspeech.decoding.kernels.records import (
    NONE,
    Ints,
    Record,
    Records,
    State,
    integer,
)

DERIVATION = np.dtype(
    [
        ("score", "f8"),  # nats, by which it is ranked
        ("lm", "f8"),  # of which so much is from the language model
        ("hot", "f8"),  # and from hot words
        ("text", "u8"),  # hash of the text, once it is listed
        ("length", "i4"),  # and how many prefixes it has
        ("node", "i4"),  # the prefix that the text begins with
        ("follows", "i4"),  # the derivation that it differs from, whose text it ends as; or NONE
        ("join", "i4"),  # the prefix there that ``node`` is put in place of
        ("until", "i4"),  # the last frame in which that can be
        ("heap", "i4"),  # a place of a heap: that of the derivation which is there
    ],
    align=True,
)
"""A text: one of the end of the search, or another one with one more prefix changed."""

COUNTS = np.dtype([("derivations", "i8"), ("waiting", "i8"), ("texts", "i8")], align=True)
"""How many there are, how many of them are in the heap, and how many texts are listed."""


@inlined
def replace(loser: Record, winner: Record, others: int, state: State) -> None:
    """Note that ``winner`` replaces ``loser`` in this frame, as it does ``others``."""
    place = state.head[0].replaced
    entry = state.replaced[place]
    entry.weight, entry.lm, entry.hot = loser.blank + loser.symbol, loser.lm, loser.hot
    entry.node, entry.added, entry.before = loser.node, loser.added, others
    winner.replaced = place
    state.head[0].replaced = place + 1


@inlined
def append(end: Record, head: Record, prefixes: Records) -> int:
    """Append the prefix of a hypothesis, or of one that was replaced; return its index."""
    node = head.prefixes
    prefix = prefixes[node]
    prefix.parent, prefix.symbol, prefix.frame = end.node, end.added, head.frame
    prefix.lm, prefix.hot, prefix.posterior, prefix.slot = end.lm, end.hot, 0.0, 0
    prefix.recombined = prefix.sibling = NONE
    head.prefixes = node + 1
    return node  # type: ignore[no-any-return]


@subroutine
def keep_replaced(beam: Record, least: float, room: int, state: State, prefixes: Records) -> int:
    """Link what ``beam`` has replaced in this frame to its prefix; return how many are new.

    Args:
        beam: a hypothesis of the next frame.
        least: weight of those that are linked.
        room: for so many new prefixes.
        state: of the search.
        prefixes: the tree.
    """
    head, total, added = state.head[0], beam.blank + beam.symbol, 0
    winner, place = prefixes[beam.node], integer(beam.replaced)
    while place != NONE:
        entry = state.replaced[place]
        place = integer(entry.before)
        if not entry.weight > least:
            continue
        share = min(0.0, math.log(entry.weight / total))
        node = _known(entry, winner, prefixes)
        if node == NONE:
            if entry.added != NONE and added == room:
                continue
            if entry.added == NONE:
                node = integer(entry.node)
            else:
                node = append(entry, head, prefixes)
                added += 1
            prefixes[node].share, prefixes[node].sibling = share, winner.recombined
            winner.recombined = node
        # In most frames a part of its alignments arrives; the largest tells most.
        prefixes[node].share = max(prefixes[node].share, share)
        prefixes[node].until = head.frame
    return added


@inlined
def _known(entry: Record, winner: Record, prefixes: Records) -> int:
    """Return the prefix that has been linked to ``winner`` with the same text, NONE if none."""
    parent, symbol = integer(entry.node), integer(entry.added)
    if symbol == NONE:
        symbol = integer(prefixes[parent].symbol)
        parent = integer(prefixes[parent].parent)
    known = integer(winner.recombined)
    while known != NONE and (prefixes[known].parent != parent or prefixes[known].symbol != symbol):
        known = integer(prefixes[known].sibling)
    return known  # type: ignore[no-any-return]


@kernel
def list_texts(
    prefixes: Records,
    stable: int,
    frames: int,
    ending: int,
    derivations: Records,
    counts: Records,
    path: Ints,
    found: Ints,
) -> int:
    """List more texts, the best first.

    Args:
        prefixes: the tree.
        stable: the prefix that all of them begin with.
        frames: of the utterance; texts that take more are left out.
        ending: symbol that takes no frame at the end of a text, NONE without one.
        derivations: of `DERIVATION`: the hypotheses of the end, and room for others.
        counts: one record `COUNTS`, which is updated.
        path: scratch, one more than there were frames.
        found: the places of the derivations that are listed; filled up, if there are so many.

    Returns:
        How many texts are listed; NONE where there was no room for all derivations. It can be
        called again with more room.
    """
    head = counts[0]
    if head.texts == 0 and head.waiting == 0:
        _wait(0, head, derivations)
    while head.texts < len(found) and head.waiting > 0:
        best = integer(derivations[0].heap)
        derivation = derivations[best]
        length = _trace(prefixes, derivations, best, path)
        derivation.text, derivation.length = np.uint64(0), length
        needed, last = 0, NONE
        for index in range(length - 1, -1, -1):
            symbol = integer(prefixes[path[index]].symbol)
            derivation.text = hash_mix(derivation.text, symbol)
            # A symbol twice takes a blank in between.
            needed += 1 + (symbol == last)
            last = symbol
        needed -= last == ending != NONE
        place, total = 0, integer(head.derivations)
        while place < head.texts and derivations[found[place]].text != derivation.text:
            place += 1
        # What differs from a text that was found before has been derived, too.
        if place == head.texts:
            total = _derive(best, total, stable, prefixes, derivations)
            if total == NONE:
                return NONE
            if needed <= frames:
                found[place] = best
                head.texts += 1
        _leave(head, derivations)
        known, head.derivations = integer(head.derivations), total
        _wait(known, head, derivations)
    return head.texts  # type: ignore[no-any-return]


@inlined
def _wait(first: int, head: Record, derivations: Records) -> None:
    """Put the derivations from ``first`` on into the heap, whose top is the best of it."""
    for entry in range(first, head.derivations):
        place = integer(head.waiting)
        head.waiting = place + 1
        while place > 0:
            above = (place - 1) // 2
            other = integer(derivations[above].heap)
            if not derivations[entry].score > derivations[other].score:
                break
            derivations[place].heap, place = other, above
        derivations[place].heap = entry


@inlined
def _leave(head: Record, derivations: Records) -> None:
    """Take the best derivation out of the heap."""
    head.waiting -= 1
    last, place = integer(derivations[head.waiting].heap), 0
    while 2 * place + 1 < head.waiting:
        below = 2 * place + 1
        other = integer(derivations[below].heap)
        if below + 1 < head.waiting:
            right = integer(derivations[below + 1].heap)
            if derivations[right].score > derivations[other].score:
                below, other = below + 1, right
        if not derivations[other].score > derivations[last].score:
            break
        derivations[place].heap, place = other, below
    derivations[place].heap = last


@subroutine
def _derive(place: int, count: int, stable: int, prefixes: Records, derivations: Records) -> int:
    """Append all that differ from a derivation in one more prefix, and begin with ``stable``.

    Returns:
        How many derivations there are then; NONE where there is no room for them.
    """
    derivation = derivations[place]
    node, left = integer(derivation.node), integer(derivation.until)
    while node > stable:
        other = integer(prefixes[node].recombined)
        while other != NONE:
            prefix = prefixes[other]
            # What follows takes a frame a symbol, and cannot begin before the prefix is there.
            if prefix.frame <= left and _begins_with(stable, other, prefixes):
                if count == len(derivations):
                    return NONE
                new = derivations[count]
                new.score = derivation.score + prefix.share
                new.lm = derivation.lm + (prefix.lm - prefixes[node].lm)
                new.hot = derivation.hot + (prefix.hot - prefixes[node].hot)
                new.node, new.join, new.follows = other, node, place
                new.until = min(prefix.until, left)
                count += 1
            other = integer(prefix.sibling)
        node, left = integer(prefixes[node].parent), left - 1
    return count


@inlined
def _begins_with(stable: int, node: int, prefixes: Records) -> bool:
    while node > stable:
        node = integer(prefixes[node].parent)
    return node == stable


@subroutine
def _trace(prefixes: Records, derivations: Records, place: int, path: Ints) -> int:
    """Write the prefixes of a text, the last first; return how many they are."""
    depth, first = 0, place
    while derivations[first].follows != NONE:
        depth, first = depth + 1, integer(derivations[first].follows)
    length = 0
    for level in range(depth, -1, -1):
        # From the last part of the text to the first: the chain leads the other way.
        current, end = place, 0
        for _ in range(level):
            end, current = integer(derivations[current].join), integer(derivations[current].follows)
        node = integer(derivations[current].node)
        while node != end:
            path[length], length = node, length + 1
            node = integer(prefixes[node].parent)
    return length


@kernel
def write_texts(
    prefixes: Records, space: int, derivations: Records, places: Ints, path: Ints, texts: Records
) -> None:
    """Write copies of all prefixes of some texts.

    What language model and hot words have added is of these texts, also after a prefix that was
    replaced. Words that ended shortly before have no posterior of their own: theirs is the share in
    that of the words which replaced them.

    Args:
        prefixes: the tree.
        space: the symbol that follows a word, NONE where there is none.
        derivations: from `list_texts`.
        places: of those that are written.
        path: scratch, one more than there were frames.
        texts: the prefixes, text after text, of each the shortest first.
    """
    begin = 0
    for place in places:
        length = _trace(prefixes, derivations, integer(place), path)
        lm, hot = 0.0, 0.0
        for index in range(length):
            texts[begin + index] = prefixes[path[length - 1 - index]]
            prefix = texts[begin + index]
            before = path[length - index] if index > 0 else 0
            if prefix.parent != before:
                # It came after the prefix that has replaced `before`.
                lm += prefixes[before].lm - prefixes[prefix.parent].lm
                hot += prefixes[before].hot - prefixes[prefix.parent].hot
                posterior = _posterior(integer(prefix.parent), space, prefixes)
                posterior *= math.exp(prefixes[before].share)
                _complete(texts[begin : begin + index], posterior, space)
            prefix.lm += lm
            prefix.hot += hot
        begin += length


@inlined
def _posterior(node: int, space: int, prefixes: Records) -> float:
    """Return the posterior of the latest word that has ended in a prefix; 0 without one."""
    while node > 0 and prefixes[node].symbol != space:
        node = integer(prefixes[node].parent)
    return prefixes[node].posterior if node > 0 else 0.0


@inlined
def _complete(text: Records, posterior: float, space: int) -> None:
    """Give the latest words of ``text`` a posterior, as far as they have none."""
    for index in range(len(text) - 1, -1, -1):
        if text[index].symbol == space:
            if text[index].posterior > 0.0:
                break
            text[index].posterior = posterior
