"""N-grams of a model level by level, where every n-gram refers to its context by row.

Rows are sorted by context and then by word, so that a pair is found by bisection among those of its
context.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from plainspeech.compiling.lazy import compiled
from plainspeech.lm.tables import Floats, Ints, Level

Rows = npt.NDArray[np.int64]


def keys(contexts: npt.NDArray[np.integer], words: Ints, vocabulary: int) -> Rows:
    """Return a number for every pair of context and word, which sorts as the pair does."""
    return contexts.astype(np.int64) * vocabulary + words


def find_rows(
    contexts: Ints | Rows, words: Ints, known: tuple[Ints | Rows, Ints], count: int
) -> Rows:
    """Return the rows of n-grams, -1 where one is not there or its context is -1.

    Args:
        contexts: ``(n-grams,)``, the row of all but the last word.
        words: ``(n-grams,)``, the last word.
        known: contexts and words of the n-grams of this order.
        count: how many contexts there are.
    """
    starts = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(known[0], minlength=count), out=starts[1:])
    return _find_rows(
        np.asarray(contexts, np.int64), np.asarray(words, np.int32), starts, np.asarray(known[1])
    )


@compiled()
def _find_rows(contexts: Rows, words: Ints, starts: Rows, known: Ints) -> Rows:
    """Search the words after each context, which begin at ``starts``, from the first one on.

    Words of low numbers are the frequent ones, so steps of growing size find most of them soon.
    """
    rows = np.full(len(words), -1, np.int64)
    for row in range(len(words)):
        context, word = contexts[row], words[row]
        if context < 0:
            continue
        low, end, step = starts[context], starts[context + 1], 1
        high = low
        while high < end and known[high] < word:
            low, high, step = high + 1, high + step, step * 2
        high = min(high, end)
        while low < high:
            middle = (low + high) // 2
            if known[middle] < word:
                low = middle + 1
            else:
                high = middle
        if low < end and known[low] == word:
            rows[row] = low
    return rows


def context_rows(words: Ints, levels: Sequence[Level]) -> Rows:
    """Return the rows of n-grams in the highest of ``levels``, -1 where one is not there.

    Args:
        words: ``(n-grams, number of levels)``.
        levels: unigrams, bigrams and so on.
    """
    rows = words[:, 0].astype(np.int64)
    for below, (order, level) in zip(levels, enumerate(levels[1:], start=2), strict=False):
        known = level.contexts, level.words
        rows = find_rows(rows, words[:, order - 1], known, len(below.words))
    return rows


def sorted_level(contexts: Rows, words: Ints, probabilities: Floats, backoffs: Floats) -> Level:
    """Return the level of n-grams that come in any order."""
    order = np.lexsort((words, contexts))
    return Level(
        contexts[order].astype(np.int32), words[order], probabilities[order], backoffs[order]
    )


def suffix_rows(contexts: Sequence[Rows | Ints], words: Sequence[Ints]) -> list[Rows]:
    """Return for every n-gram the row of all but its first word in the order below.

    Args:
        contexts: of the n-grams of each order, the row of all but the last word.
        words: of the n-grams of each order, the last one.

    Returns:
        For each order; -1 where a row is not there, zeros for unigrams.
    """
    rows, count = [np.zeros(len(words[0]), np.int64)], 1
    for order in range(1, len(words)):
        known = contexts[order - 1], words[order - 1]
        rows.append(find_rows(rows[-1][contexts[order]], words[order], known, count))
        count = len(words[order - 1])
    return rows


def select_ngrams(levels: Sequence[Level], kept: Sequence[npt.NDArray[np.bool_]]) -> list[Level]:
    """Return the n-grams that are kept, up to the last order that has any.

    Args:
        levels: unigrams, bigrams and so on.
        kept: which of them; contexts of those that are kept must be kept, too.
    """
    selected = []
    rows = np.zeros(1, np.int32)
    for level, keep in zip(levels, kept, strict=True):
        if not keep.any():
            break
        selected.append(
            Level(
                contexts=rows[level.contexts[keep]],
                words=level.words[keep],
                probabilities=level.probabilities[keep],
                backoffs=level.backoffs[keep],
            )
        )
        rows = np.cumsum(keep, dtype=np.int32) - 1
    return selected


def word_ids(levels: Sequence[Level]) -> list[Ints]:
    """Return the words of every n-gram, ``(n-grams, order)`` for each of ``levels``."""
    words = [levels[0].words[:, np.newaxis]]
    for level in levels[1:]:
        words.append(np.column_stack([words[-1][level.contexts], level.words]))
    return words
