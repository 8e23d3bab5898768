"""Pruning the n-grams whose removal raises the cross entropy least.

A. Stolcke, Entropy-based pruning of backoff language models (DARPA Broadcast News Transcription
and Understanding Workshop, 1998). The probability of a context is estimated from counts of
the text, since that of a Kneser-Ney model is misleading here (C. Chelba et al., Study on
interaction between entropy pruning and Kneser-Ney smoothing, Interspeech 2010).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from plainspeech.lm.corpus import CHUNK, Corpus
from plainspeech.lm.levels import Rows, find_rows, select_ngrams, suffix_rows
from plainspeech.lm.tables import Ints, Level

Doubles = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def prune_by_entropy(
    levels: Sequence[Level], corpus: Corpus, threshold: float, folder: Path
) -> list[Level]:
    """Prune n-grams and recompute the back-off weights.

    Args:
        levels: of a model that has the suffix of each of its n-grams.
        corpus: the text that the model was estimated from.
        threshold: an n-gram is pruned if the cross entropy without it rises by less, nats per word.
        folder: for a file of four bytes a word.
    """
    predictions = corpus.words + corpus.sentences
    occurrences = count_known(corpus, levels[: max(1, len(levels) - 1)], folder)
    suffixes = suffix_rows([level.contexts for level in levels], [level.words for level in levels])
    kept = [np.ones(len(level.words), np.bool_) for level in levels]
    needed = np.zeros(len(levels[-1].words), np.bool_)
    for order in range(len(levels) - 1, 0, -1):
        losses = _losses(levels, order, suffixes[order], occurrences[order - 1] / predictions)
        kept[order] = needed | (losses >= threshold)
        needed = np.zeros(len(levels[order - 1].words), np.bool_)
        needed[levels[order].contexts[kept[order]]] = True
        needed[suffixes[order][kept[order]]] = True
    return select_ngrams(_with_backoffs(levels, kept, suffixes), kept)


def count_known(corpus: Corpus, levels: Sequence[Level], folder: Path) -> list[Rows]:
    """Return how often the text has each n-gram of ``levels``."""
    vocabulary = len(levels[0].words)
    # For every token the row of the n-gram that begins there, -1 where the model has none.
    rows: Ints = np.memmap(folder / "known", np.int32, "w+", shape=corpus.tokens.shape)
    rows[:] = np.where(corpus.tokens < vocabulary, corpus.tokens, -1)
    counts = [corpus.frequencies[:vocabulary]]
    for below, (order, level) in zip(levels, enumerate(levels[1:], start=2), strict=False):
        counts.append(np.zeros(len(level.words), np.int64))
        for start in range(0, len(rows), CHUNK):
            last = corpus.tokens[start + order - 1 : start + CHUNK + order - 1]
            part = rows[start : start + len(last)]
            known = level.contexts, level.words
            part[:] = found = find_rows(part, last, known, len(below.words))
            counts[-1] += np.bincount(found[found >= 0], minlength=len(level.words))
        rows[len(rows) - order + 1 :] = -1
    return counts


def _losses(levels: Sequence[Level], order: int, suffixes: Rows, contexts: Doubles) -> Doubles:
    """Return by how much the cross entropy rises without each n-gram of more than ``order`` words.

    Args:
        levels: of the model.
        order: of the contexts.
        suffixes: the row of all but the first word of each n-gram.
        contexts: the probability of each context.
    """
    level, below = levels[order], levels[order - 1]
    log_p = level.probabilities.astype(np.float64)
    log_lower = below.probabilities[suffixes].astype(np.float64)
    p, lower = np.exp(log_p), np.exp(log_lower)
    rest, rest_lower = _rests(level, p, lower, len(below.words))
    of = level.contexts
    backoff = (np.log(rest) - np.log(rest_lower))[of]
    wider = np.log(rest[of] + p) - np.log(rest_lower[of] + lower)
    change = p * (log_lower + wider - log_p) + rest[of] * (wider - backoff)
    losses: Doubles = -contexts[of] * change
    return losses


def _rests(level: Level, p: Doubles, lower: Doubles, contexts: int) -> tuple[Doubles, Doubles]:
    """Return the mass left for backing off after each context, by p and by p of the suffixes."""
    rest = 1 - np.bincount(level.contexts, p, contexts)
    rest_lower = 1 - np.bincount(level.contexts, lower, contexts)
    least = 1e-9  # above the rounding of what has no rest
    return np.maximum(rest, least), np.maximum(rest_lower, least)


def _with_backoffs(
    levels: Sequence[Level], kept: Sequence[Mask], suffixes: Sequence[Rows]
) -> list[Level]:
    fresh = list(levels)
    for order, level in enumerate(levels[1:], start=1):
        keep, below = kept[order], levels[order - 1]
        part = level._replace(contexts=level.contexts[keep])
        p = np.exp(level.probabilities[keep].astype(np.float64))
        lower = np.exp(below.probabilities[suffixes[order][keep]].astype(np.float64))
        rest, rest_lower = _rests(part, p, lower, len(below.words))
        fresh[order - 1] = fresh[order - 1]._replace(
            backoffs=(np.log(rest) - np.log(rest_lower)).astype(np.float32)
        )
    return fresh
