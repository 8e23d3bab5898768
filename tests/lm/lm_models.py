"""Small texts and models to test with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from plainspeech.lm.arpa import ArpaModel
from plainspeech.lm.corpus import encode
from plainspeech.lm.kneser_ney import count_ngrams, estimate
from plainspeech.lm.tables import (
    BOS_ID,
    EOS_ID,
    SPECIAL_WORDS,
    UNKNOWN_ID,
    Level,
    NGramTables,
    score_word,
)

TEXT = """\
the cat sat on the mat
the dog sat on the cat
a cat and a dog sat
the mat is on the floor
is the dog on the mat
a dog is not a cat
the cat is not on the mat
"""

WORDS = ["a", "b", "c", "d", "e"]

sentences = st.lists(st.sampled_from(WORDS), min_size=1, max_size=7)
texts = st.lists(sentences, min_size=1, max_size=25)


def estimated(
    text: Iterable[Sequence[str]],
    folder: Path,
    prune: Sequence[int] = (0, 0, 0),
    words: int = 1000,
) -> ArpaModel:
    """Return the model of ``text`` that the builtin estimator gives."""
    corpus = encode(text, folder)
    levels = estimate(count_ngrams(corpus, len(prune), folder), words, prune)
    return ArpaModel(corpus.vocabulary[: len(levels[0].words)], levels)


def after_everything(tables: NGramTables) -> Iterator[npt.NDArray[np.float64]]:
    """Yield the probabilities of all words but <s> after everything that the model tells apart."""
    states = {0, int(tables.bos_state)}
    for _ in range(4):
        states |= {
            score_word(tables, state, word)[1]
            for state in states
            for word in range(EOS_ID, len(tables.unigrams))
        }
    for state in states:
        logs = [score_word(tables, state, word)[0] for word in range(len(tables.unigrams))]
        yield np.exp(np.delete(logs, BOS_ID))


def arbitrary(rng: np.random.Generator, words: int, sizes: Sequence[int]) -> ArpaModel:
    """Return a model with any numbers in it, and n-grams whose last words are none of its n-grams.

    Args:
        rng: makes it.
        words: of the vocabulary.
        sizes: the most n-grams of two words, three and so on.
    """
    vocabulary = [*SPECIAL_WORDS, *(f"w{index}" for index in range(words))]
    spelled: list[tuple[int, ...]] = [(word,) for word in range(len(vocabulary))]
    levels = [_level(rng, [(0, word) for word in range(len(vocabulary))])]
    for size in sizes:
        chosen = _chosen(rng, spelled, len(vocabulary), size)
        levels.append(_level(rng, chosen))
        spelled = [(*spelled[row], word) for row, word in chosen]
    levels[-1].backoffs[:] = 0
    return ArpaModel(vocabulary, levels)


def _chosen(
    rng: np.random.Generator, spelled: Sequence[tuple[int, ...]], vocabulary: int, size: int
) -> list[tuple[int, int]]:
    known = set(spelled)
    pairs = [
        (row, word)
        for row, ngram in enumerate(spelled)
        if ngram[-1] not in (UNKNOWN_ID, EOS_ID)
        for word in range(EOS_ID, vocabulary)
    ]
    chosen: list[tuple[int, int]] = []
    holes = len(spelled) // 10  # KenLM takes no more
    for place in rng.permutation(len(pairs)):
        row, word = pairs[place]
        hole = (*spelled[row][1:], word) not in known
        if len(chosen) < size and not (hole and holes == 0):
            holes -= hole
            chosen.append((row, word))
    return sorted(chosen)


def _level(rng: np.random.Generator, ngrams: Sequence[tuple[int, int]]) -> Level:
    contexts, words = np.array(ngrams, np.int32).reshape(-1, 2).T
    backoffs = np.where(rng.random(len(words)) < 0.7, rng.uniform(-3, 0.5, len(words)), 0)
    backoffs[words == EOS_ID] = 0  # nothing follows the end
    return Level(
        contexts=contexts.copy(),
        words=words.copy(),
        probabilities=rng.uniform(-8, -0.01, len(words)).astype(np.float32),
        backoffs=backoffs.astype(np.float32),
    )
