"""Posterior probabilities of words, taken from the beam shortly after each word's end.

The share of the hypotheses that have a word at its place is a measure of confidence (F. Wessel et
al., "Confidence Measures for Large Vocabulary Continuous Speech Recognition", 2001). It must be
taken during the search: the final hypotheses of an utterance differ near its end alone, since
those that the language model cannot tell apart have been merged.

So the words of all hypotheses are compared every `PERIOD` frames that are not blank. The posterior
of a word is taken at the second time after it ended, over the words that ended up to two periods
before or after.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from plainspeech.decoding.kernels.hashing import hash_mix
from plainspeech.decoding.kernels.jit import inlined, kernel, subroutine
from plainspeech.decoding.kernels.records import (
    CHARACTER_MODEL,
    NO_MODEL,
    NONE,
    Doubles,
    Ints,
    Record,
    Records,
    SearchParameters,
    State,
    integer,
)

PERIOD = 6
"""Frames, those that are skipped as blank not counted."""

WORD_END = np.dtype(
    [
        ("spelling", "u8"),  # hash of the word
        ("posterior", "f8"),  # of the hypotheses that go through here
        ("node", "i4"),  # place of the prefix
        ("before", "i4"),  # the word end before it, NONE if that does not count
        ("start", "i4"),  # frame in which the word's first letter arose
        ("end", "i4"),  # and its last
        ("first", "i4"),  # one word end whose spelling leads to this place, NONE if there is none
        ("next", "i4"),  # the next of those of this word end
    ],
    align=True,
)
"""A prefix that ends a word. All of them are also a hash table of their spellings."""


def max_word_ends(width: int) -> int:
    """Return how many there can be at a time."""
    # A path has a prefix a frame and a word every two, within three periods and the end.
    return width * (3 * PERIOD // 2 + 2)


@subroutine
def update_word_posteriors(ends: bool, space: int, state: State, prefixes: Records) -> None:
    """Set ``posterior`` of the words that are due.

    Args:
        ends: the hypotheses are final: all words that are left are due, and the ends of the texts
            are ends of words.
        space: the symbol that follows a word, NONE where there is none.
        state: of the search.
        prefixes: the tree, in which the posteriors are set.
    """
    head = state.head[0]
    if space == NONE and not ends:
        return
    word_ends = state.word_ends
    count = _gather(ends, space, state, prefixes)
    for place in range(count):
        word_ends[place].first = NONE
    for place in range(count):
        _insert(place, count, space, prefixes, word_ends)
    for place in range(count):
        prefix = prefixes[word_ends[place].node]
        prefix.slot = 0
        due = head.updated_before <= prefix.frame and (ends or prefix.frame < head.due_before)
        if due or prefix.symbol != space:
            prefix.posterior = min(1.0, _posterior(word_ends[place], count, word_ends))
    head.compared_before = head.updated_before
    head.updated_before = head.due_before
    head.due_before = head.frame


@inlined
def _gather(ends: bool, space: int, state: State, prefixes: Records) -> int:
    """List the ends of words, and add up the shares of the hypotheses that go through each."""
    head, word_ends, total, count = state.head[0], state.word_ends, 0.0, 0
    beams = state.beams[head.side]
    for place in range(head.beams):
        total += beams[place].blank + beams[place].symbol
    if total == 0.0:
        return 0
    for place in range(head.beams):
        share = (beams[place].blank + beams[place].symbol) / total
        node = integer(beams[place].node)
        listed, count = _list(node, head.compared_before, ends, space, prefixes, word_ends, count)
        while listed != NONE:
            word_ends[listed].posterior += share
            listed = integer(word_ends[listed].before)
    return count


@inlined
def _list(
    node: int,
    compared: int,
    last: bool,
    space: int,
    prefixes: Records,
    word_ends: Records,
    count: int,
) -> tuple[int, int]:
    """List the ends of words on the way to a prefix; return the last, and how many there are."""
    latest, previous = NONE, NONE
    while node > 0 and (last or prefixes[node].frame >= compared):
        prefix = prefixes[node]
        if last or prefix.symbol == space:
            known = prefix.slot > 0
            if not known:
                entry = word_ends[count]
                entry.node, entry.before, entry.posterior = node, NONE, 0.0
                count += 1
                prefix.slot = count
            place = integer(prefix.slot) - 1
            if previous == NONE:
                latest = place
            else:
                word_ends[previous].before = place
            if known:
                break
            previous = place
        node, last = integer(prefix.parent), False
    return latest, count


@inlined
def _insert(place: int, count: int, space: int, prefixes: Records, word_ends: Records) -> None:
    """Read the word that ends here, and insert it into the hash table of ``count`` slots."""
    entry = word_ends[place]
    node = integer(entry.node)
    if prefixes[node].symbol == space:
        node = integer(prefixes[node].parent)
    entry.end, spelling = prefixes[node].frame, np.uint64(0)
    while node > 0 and prefixes[node].symbol != space:
        spelling = hash_mix(spelling, integer(prefixes[node].symbol))
        entry.start, node = prefixes[node].frame, integer(prefixes[node].parent)
    entry.spelling = spelling
    home = word_ends[integer(spelling % np.uint64(count))]
    entry.next, home.first = home.first, place


@inlined
def _posterior(entry: Record, count: int, word_ends: Records) -> float:
    """Return the share of all words with the same spelling that overlap ``entry`` in time."""
    share = 0.0
    place = integer(word_ends[integer(entry.spelling % np.uint64(count))].first)
    while place != NONE:
        other = word_ends[place]
        overlap = entry.start <= other.end and other.start <= entry.end
        if overlap and other.spelling == entry.spelling:
            share += other.posterior
        place = integer(other.next)
    return share


@kernel
def gather_evidence(
    text: Records, times: Any, parameters: SearchParameters, words: Ints, evidence: Doubles
) -> None:
    """Write the evidence for each word of a text.

    Args:
        text: its prefixes; a space may follow the last word.
        times: of its characters, from `plainspeech.decoding.kernels.alignment`.
        parameters: of the search.
        words: ``(words, 2)``: where in the text each begins and ends, to be written.
        evidence: ``(words, 6)``, see `plainspeech.decoding.calibration`; the first four columns
            are written.
    """
    start, lm = 0, 0.0
    for word in range(len(words)):
        end, total, frames = start, 0.0, 0
        while end < len(times.sums) and text[end].symbol != parameters.space:
            total += times.sums[end]
            frames += times.ends[end] - times.starts[end]
            end += 1
        last = min(end, len(text) - 1)
        bonus = 0.0
        if parameters.mode != NO_MODEL:
            scored = last + 1 - start if parameters.mode == CHARACTER_MODEL else 1
            bonus = parameters.beta * scored
        evidence[word, 0] = total / frames
        evidence[word, 1] = text[last].posterior
        evidence[word, 2] = text[last].lm - lm - bonus
        evidence[word, 3] = end - start
        words[word, 0], words[word, 1] = start, end
        start, lm = end + 1, text[last].lm
