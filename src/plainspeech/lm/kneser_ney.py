"""Interpolated modified Kneser-Ney smoothing, to the same numbers as KenLM's ``lmplz``.

S. F. Chen and J. Goodman, An empirical study of smoothing techniques for language modeling
(TR-10-98, Harvard, 1998), with the details of K. Heafield et al., Scalable modified Kneser-Ney
language model estimation (ACL 2013): n-grams that begin a sentence keep their counts, unigrams are
interpolated with the uniform distribution over the vocabulary and the unknown word, and what is
pruned adds its count to the weight of the order below.

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
from plainspeech.lm.levels import Rows, find_rows, keys, select_ngrams, suffix_rows
from plainspeech.lm.tables import BOS_ID, Ints, Level

Doubles = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
# What lmplz takes with --discount_fallback, for texts too small or odd to estimate from.
_FALLBACK = np.array([0.0, 0.5, 1.0, 1.5])


class NGramCounts(NamedTuple):
    """The n-grams of one order, sorted by context and then by word.

    Attributes:
        contexts: ``(n-grams,)``, the row of all but the last word in the order below.
        words: ``(n-grams,)``, the last word. Unigrams are the whole vocabulary, in order.
        counts: ``(n-grams,)``, how often each is there.
    """

    contexts: Rows
    words: Ints
    counts: Rows


class _Run(NamedTuple):
    """Different keys, see `plainspeech.lm.levels.keys`, in order, and how often each was there."""

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
    levels = [NGramCounts(contexts, words, corpus.frequencies)]
    # For every token the row of the n-gram that begins there, -1 where the sentence is too short.
    rows: Ints = np.memmap(folder / "rows", np.int32, "w+", shape=corpus.tokens.shape)
    rows[:] = corpus.tokens
    for longer in range(2, order + 1):
        levels.append(_count(corpus, rows, longer))
        if longer < order:
            _extend(corpus, rows, longer, *levels[-2:])
    return levels


def _count(corpus: Corpus, rows: Ints, order: int) -> NGramCounts:
    runs = [_Run(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for places, last in _chunks(corpus, order):
        valid = (rows[places] >= 0) & (last != BOS_ID)
        found = keys(rows[places][valid], last[valid], len(corpus.vocabulary))
        runs.append(_Run(*np.unique(found, return_counts=True)))
        # Runs of falling size, so that each n-gram is moved a few times only.
        while len(runs) > 1 and len(runs[-2].keys) < 2 * len(runs[-1].keys):
            runs[-2:] = [_merged(runs[-2:])]
    run = _merged(runs)
    contexts, words = np.divmod(run.keys, len(corpus.vocabulary))
    return NGramCounts(contexts, words.astype(np.int32), run.counts)


def _merged(runs: Sequence[_Run]) -> _Run:
    found = np.concatenate([run.keys for run in runs])
    counts = np.concatenate([run.counts for run in runs])
    order = np.argsort(found, kind="stable")  # which takes advantage of sorted parts
    found = found[order]
    starts = np.flatnonzero(np.diff(found, prepend=-1))
    return _Run(found[starts], np.add.reduceat(counts[order], starts) if len(starts) else counts)


def _extend(corpus: Corpus, rows: Ints, order: int, below: NGramCounts, level: NGramCounts) -> None:
    """Replace the rows of n-grams by those of the n-grams one word longer, of ``order``."""
    known = level.contexts, level.words
    for places, last in _chunks(corpus, order):
        rows[places] = find_rows(rows[places], last, known, len(below.words))


def _chunks(corpus: Corpus, order: int) -> Iterator[tuple[slice, Ints]]:
    """Yield parts of the text, and the last words of the n-grams that begin in them."""
    end = len(corpus.tokens) - order + 1
    for start in range(0, end, CHUNK):
        places = slice(start, min(start + CHUNK, end))
        yield places, corpus.tokens[places.start + order - 1 : places.stop + order - 1]


class _Weights(NamedTuple):
    """The n-grams of one order before interpolation.

    Attributes:
        discounted: ``(n-grams,)``, (count - discount) / counts of the context.
        context_weights: ``(n-grams of the order below,)``, weight of the order below after each,
            1 where the context has no n-gram.
    """

    discounted: Doubles
    context_weights: Doubles


def estimate(counts: Sequence[NGramCounts], words: int, prune: Sequence[int]) -> list[Level]:
    """Estimate a model.

    Args:
        counts: see `plainspeech.lm.kneser_ney.count_ngrams`.
        words: how many of the vocabulary to keep, special words included; n-grams with others
            are pruned.
        prune: for each order the count up to which n-grams are pruned, not falling; 0 for words.

    Returns:
        The levels up to the last one that is not empty.
    """
    suffixes = suffix_rows([level.contexts for level in counts], [level.words for level in counts])
    kept = _kept(counts, words, prune)
    contexts = [1, *(len(level.words) for level in counts[:-1])]
    weights = list(map(_weigh, counts, contexts, _adjusted(counts, suffixes), kept))
    probabilities = [_unigrams(weights[0], int(kept[0].sum()))]
    for order in range(1, len(counts)):
        context_weights = weights[order].context_weights[counts[order].contexts]
        lower = probabilities[-1][suffixes[order]]
        probabilities.append(weights[order].discounted + context_weights * lower)
    ones = np.ones(len(counts[-1].words))
    backoffs = [*(weight.context_weights for weight in weights[1:]), ones]
    return select_ngrams(list(map(_level, counts, probabilities, backoffs)), kept)


def _level(counts: NGramCounts, probabilities: Doubles, backoffs: Doubles) -> Level:
    return Level(
        contexts=counts.contexts.astype(np.int32),
        words=counts.words,
        probabilities=np.log(probabilities).astype(np.float32),
        backoffs=np.log(backoffs).astype(np.float32),
    )


def _adjusted(counts: Sequence[NGramCounts], suffixes: Sequence[Rows]) -> list[Rows]:
    """Return the counts to estimate from.

    Those of the highest order are how often the n-gram is there, others how many words come
    before it; nothing comes before what begins with the beginning of a sentence.
    """
    adjusted: list[Rows] = []
    begins = counts[0].words == BOS_ID
    for level, suffix in zip(counts, suffixes[1:], strict=False):
        if adjusted:
            begins = begins[level.contexts]
        distinct = np.bincount(suffix, minlength=len(level.words))
        adjusted.append(np.where(begins, level.counts, distinct))
    adjusted.append(counts[-1].counts.copy())
    adjusted[0][BOS_ID] = 0
    return adjusted


def _kept(counts: Sequence[NGramCounts], words: int, prune: Sequence[int]) -> list[Mask]:
    known = counts[0].words < words
    kept = [known]
    for level, threshold in zip(counts[1:], prune[1:], strict=True):
        kept.append(kept[-1][level.contexts] & known[level.words] & (level.counts > threshold))
    return kept


def _weigh(level: NGramCounts, contexts: int, adjusted: Rows, kept: Mask) -> _Weights:
    discounts = _discounts(adjusted)[np.minimum(adjusted, 3)]
    totals = np.bincount(level.contexts, adjusted, contexts)
    freed = np.bincount(level.contexts, np.where(kept, discounts, adjusted), contexts)
    context_weights = np.divide(freed, totals, out=np.ones(contexts), where=totals > 0)
    return _Weights((adjusted - discounts) / totals[level.contexts], context_weights)


def _discounts(adjusted: Rows) -> Doubles:
    """Return what is taken from an adjusted count of 0, 1, 2, and 3 or more.

    Equation 26 of Chen and Goodman.
    """
    n = np.bincount(np.minimum(adjusted, 5), minlength=6).astype(np.float64)
    if not n[1:4].all():
        return _FALLBACK
    k = np.arange(1, 4)
    discounts = k - (k + 1) * n[1] / (n[1] + 2 * n[2]) * n[2:5] / n[1:4]
    # Where lmplz takes a discount of zero, nothing may be left for the words that were not seen.
    if (discounts <= 0).any() or (discounts > k).any():
        return _FALLBACK
    return np.array([0.0, *discounts])


def _unigrams(weights: _Weights, vocabulary: int) -> Doubles:
    """Interpolate with the uniform distribution over all that may follow, the unknown included."""
    weight = weights.context_weights[0] / (vocabulary - 1)
    probabilities: Doubles = weights.discounted + weight
    probabilities[BOS_ID] = 1.0  # as lmplz has it, for those who score <s> too
    return probabilities
