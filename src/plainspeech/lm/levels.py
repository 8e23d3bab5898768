"""N-grams of a model level by level, where every n-gram refers to its context by row.

Rows are sorted by context and then by word, so that a pair is found by bisection of `keys`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from plainspeech.lm.tables import Floats, Ints, Level

Rows = npt.NDArray[np.int64]


def keys(contexts: npt.NDArray[np.integer], words: Ints, vocabulary: int) -> Rows:
    """Return a number for every pair of context and word, which sorts as the pair does."""
    return contexts.astype(np.int64) * vocabulary + words


def find_rows(wanted: Rows, known: Rows) -> Rows:
    """Return the place of each of ``wanted`` in the sorted ``known``, -1 where it is not there."""
    places = np.searchsorted(known, wanted)
    found = places < len(known)
    found[found] = known[places[found]] == wanted[found]
    return np.where(found, places, -1)


def context_rows(words: Ints, levels: Sequence[Level]) -> Rows:
    """Return the rows of n-grams in the highest of ``levels``, -1 where one is not there.

    Args:
        words: ``(n-grams, number of levels)``.
        levels: unigrams, bigrams and so on.
    """
    rows = words[:, 0].astype(np.int64)
    vocabulary = len(levels[0].words)
    for order, level in enumerate(levels[1:], start=2):
        known = keys(level.contexts, level.words, vocabulary)
        found = find_rows(keys(rows, words[:, order - 1], vocabulary), known)
        rows = np.where(rows < 0, -1, found)
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
    vocabulary = len(words[0])
    rows = [np.zeros(vocabulary, np.int64)]
    for order in range(1, len(words)):
        wanted = keys(rows[-1][contexts[order]], words[order], vocabulary)
        known = keys(contexts[order - 1], words[order - 1], vocabulary)
        rows.append(find_rows(wanted, known))
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
