"""Which of the words that sound alike was meant: the likeliest sentence for what was said.

Dynamic programming over the states of the language model: of sentences that lead to the same state
the likelier one is kept (the Viterbi algorithm).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from plainspeech.decoding.kernels.jit import inlined, kernel, subroutine
from plainspeech.decoding.kernels.records import NONE, Doubles, Ints, Records, integer
from plainspeech.lm.tables import EOS_ID, score_word

MOST_SENTENCES = 256
"""States of the language model after a word; the likeliest are kept where there are more."""

SENTENCE = np.dtype(
    [
        ("score", "f8"),
        ("state", "i4"),  # of the language model
        ("before", "i4"),  # the sentence without its last word, of those that are a word shorter
        ("word", "i4"),  # its place among the candidates, NONE for what is no word
        ("reached", "i4"),  # scratch: 1 for what a longer one begins with
    ],
    align=True,
)
"""The likeliest sentence that leads to a state."""


@kernel
def choose_words(
    said: Ints,
    ends: Ints,
    firsts: Ints,
    candidates: Ints,
    nats: Doubles,
    tables: Any,
    start: int,
    whole: bool,
    sentences: Records,
    counts: Ints,
    chosen: Ints,
) -> int:
    """Choose the likeliest words for several texts.

    Args:
        said: what was said, word after word, text after text, as places in ``firsts``.
        ends: where each text ends in ``said``.
        firsts: ``(sounds + 1,)`` where the candidates for a sound begin; none for what is no word.
        candidates: ids of words.
        nats: that each adds.
        tables: the language model.
        start: its state before the first word.
        whole: whether the sentences end with the texts.
        sentences: scratch, ``(words + 1, MOST_SENTENCES)`` of `SENTENCE`, for the longest text.
        counts: scratch, as many as ``sentences`` has rows.
        chosen: as long as ``said``: places among the candidates, NONE for what is no word.

    Returns:
        How many words at the beginning of the last text stay, whatever follows it.
    """
    begin, length = 0, 0
    for text in range(len(ends)):
        end = integer(ends[text])
        length = end - begin
        first = sentences[0, 0]
        first.score, first.state, first.before, first.word = 0.0, start, NONE, NONE
        counts[0] = 1
        for place in range(begin, end):
            level, sound = place - begin, said[place]
            counts[level + 1] = _lengthen(
                sentences[level],
                integer(counts[level]),
                sentences[level + 1],
                integer(firsts[sound]),
                integer(firsts[sound + 1]),
                candidates,
                nats,
                tables,
            )
        best = _likeliest(sentences[length], integer(counts[length]), whole, tables)
        for place in range(end - 1, begin - 1, -1):
            sentence = sentences[place - begin + 1, best]
            chosen[place], best = sentence.word, integer(sentence.before)
        begin = end
    return _count_common(sentences, counts, length)


@subroutine
def _lengthen(
    before: Records,
    count: int,
    after: Records,
    first: int,
    end: int,
    candidates: Ints,
    nats: Doubles,
    tables: Any,
) -> int:
    """Write sentences with one more word of ``candidates[first:end]``; return how many they are."""
    total = 0
    for place in range(count):
        sentence = before[place]
        if first == end:
            after[place] = sentence
            after[place].before, after[place].word = place, NONE
            total += 1
        for word in range(first, end):
            gain, state = score_word(
                tables, integer(before[place].state), integer(candidates[word])
            )
            score = sentence.score + gain + nats[word]
            known = _place_of(integer(state), after, total)
            new = known == total
            if new and total < MOST_SENTENCES:
                total += 1
            elif new:
                known, new = _least(after, total), False
            if new or score > after[known].score:
                after[known].score, after[known].state = score, state
                after[known].before, after[known].word = place, word
    return total


@inlined
def _place_of(state: int, sentences: Records, count: int) -> int:
    """Return the place of the sentence with ``state``; ``count`` where there is none."""
    place = 0
    while place < count and sentences[place].state != state:
        place += 1
    return place


@inlined
def _likeliest(sentences: Records, count: int, whole: bool, tables: Any) -> int:
    best, highest = 0, -math.inf
    for place in range(count):
        score = sentences[place].score
        if whole:
            gain, _ = score_word(tables, integer(sentences[place].state), EOS_ID)
            score += gain
        if score > highest:
            best, highest = place, score
    return best


@inlined
def _least(sentences: Records, count: int) -> int:
    least = 0
    for place in range(count):
        if sentences[place].score < sentences[least].score:
            least = place
    return least


@subroutine
def _count_common(sentences: Records, counts: Ints, length: int) -> int:
    """Return how many words all sentences of ``length`` begin with."""
    common, distinct = length, integer(counts[length])
    for place in range(distinct):
        sentences[length, place].reached = 1
    while distinct > 1:
        common, distinct = common - 1, 0
        for place in range(counts[common]):
            sentences[common, place].reached = 0
        for place in range(counts[common + 1]):
            if sentences[common + 1, place].reached == 1:
                before = sentences[common, sentences[common + 1, place].before]
                distinct += 1 - before.reached
                before.reached = 1
    return common
