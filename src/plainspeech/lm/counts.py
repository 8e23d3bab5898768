"""How often every n-gram of a text is there.

The n-grams of each order are numbers, made of the row of their context and their last word, that
are sorted a chunk of the text at a time. Memory grows with the different n-grams, not with the
text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from plainspeech.lm.corpus import CHUNK, Corpus
from plainspeech.lm.levels import Rows, find_rows, keys
from plainspeech.lm.tables import BOS_ID, Ints


class NGramCounts(NamedTuple):
    """The n-grams of one order, sorted by context and then by word.

    Attributes:
        keys: ``(n-grams,)``, see `plainspeech.lm.levels.keys`.
        contexts: ``(n-grams,)``, the row of all but the last word in the order below.
        words: ``(n-grams,)``, the last word. Unigrams are the whole vocabulary, in order.
        counts: ``(n-grams,)``, how often each is there.
    """

    keys: Rows
    contexts: Rows
    words: Ints
    counts: Rows


class _Run(NamedTuple):
    """Different keys in order, and how often each was there."""

    keys: Rows
    counts: Rows


def count_ngrams(corpus: Corpus, order: int, folder: Path) -> list[NGramCounts]:
    """Count the n-grams of every order up to ``order``, within sentences.

    Args:
        corpus: the text.
        order: of the longest n-grams.
        folder: for a file of four bytes a word.
    """
    vocabulary = len(corpus.vocabulary)
    words = np.arange(vocabulary, dtype=np.int32)
    contexts = np.zeros(vocabulary, np.int64)
    levels = [NGramCounts(words.astype(np.int64), contexts, words, corpus.frequencies)]
    # For every token the row of the n-gram that begins there, -1 where the sentence is too short.
    rows: Ints = np.memmap(folder / "rows", np.int32, "w+", shape=corpus.tokens.shape)
    rows[:] = corpus.tokens
    for longer in range(2, order + 1):
        levels.append(_count(corpus, rows, longer))
        if longer < order:
            _extend(corpus, rows, longer, levels[-1])
    return levels


def _count(corpus: Corpus, rows: Ints, order: int) -> NGramCounts:
    runs = [_Run(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for _, _, found in _found(corpus, rows, order):
        runs.append(_Run(*np.unique(found, return_counts=True)))
        # Runs of falling size, so that each n-gram is moved a few times only.
        while len(runs) > 1 and len(runs[-2].keys) < 2 * len(runs[-1].keys):
            runs[-2:] = [_merged(runs[-2:])]
    run = _merged(runs)
    contexts, words = np.divmod(run.keys, len(corpus.vocabulary))
    return NGramCounts(run.keys, contexts, words.astype(np.int32), run.counts)


def _merged(runs: Sequence[_Run]) -> _Run:
    found = np.concatenate([run.keys for run in runs])
    counts = np.concatenate([run.counts for run in runs])
    order = np.argsort(found, kind="stable")  # which takes advantage of sorted parts
    found = found[order]
    starts = np.flatnonzero(np.diff(found, prepend=-1))
    return _Run(found[starts], np.add.reduceat(counts[order], starts) if len(starts) else counts)


def _extend(corpus: Corpus, rows: Ints, order: int, level: NGramCounts) -> None:
    """Replace the rows of n-grams by those of the n-grams one word longer."""
    for places, valid, found in _found(corpus, rows, order):
        different, inverse = np.unique(found, return_inverse=True)
        longer = np.full(len(valid), -1, np.int32)
        longer[valid] = find_rows(different, level.keys)[inverse]
        rows[places] = longer


def _found(
    corpus: Corpus, rows: Ints, order: int
) -> Iterator[tuple[slice, npt.NDArray[np.bool_], Rows]]:
    """Yield parts of the text, where n-grams of ``order`` begin in them, and their keys."""
    end = len(corpus.tokens) - order + 1
    for start in range(0, end, CHUNK):
        places = slice(start, min(start + CHUNK, end))
        last = corpus.tokens[places.start + order - 1 : places.stop + order - 1]
        valid = (rows[places] >= 0) & (last != BOS_ID)
        yield places, valid, keys(rows[places][valid], last[valid], len(corpus.vocabulary))
