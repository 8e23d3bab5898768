"""A language model small enough to look n-grams up by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plainspeech.lm.tables import SPECIAL_WORDS, Level, NGramTables, build_tables

Ngram = tuple[str, ...]


@dataclass(frozen=True)
class ToyLm:
    """A back-off model of order 3 at most.

    Attributes:
        vocabulary: words, the special ones first.
        probabilities: natural logarithms, of every n-gram that is there.
        backoffs: natural logarithms, of every n-gram that is there.
    """

    vocabulary: tuple[str, ...]
    probabilities: dict[Ngram, float]
    backoffs: dict[Ngram, float]
    alpha: float = 0.7
    beta: float = 0.4
    order: int = 3

    def log_probability(self, history: Sequence[str], word: str) -> float:
        known = [w if w in self.vocabulary else "<unk>" for w in ("<s>", *history, word)]
        return self._backed_off(tuple(known[-3:]))

    @property
    def tables(self) -> NGramTables:
        rows: dict[Ngram, int] = {(): 0}
        ids = {word: index for index, word in enumerate(self.vocabulary)}
        levels = []
        for order in (1, 2, 3):
            ngrams = [ngram for ngram in self.probabilities if len(ngram) == order]
            ngrams.sort(key=lambda ngram: (rows[ngram[:-1]], ids[ngram[-1]]))
            rows |= {ngram: row for row, ngram in enumerate(ngrams)}
            levels.append(
                Level(
                    contexts=np.array([rows[n[:-1]] for n in ngrams], np.int32),
                    words=np.array([ids[n[-1]] for n in ngrams], np.int32),
                    probabilities=np.array([self.probabilities[n] for n in ngrams], np.float32),
                    backoffs=np.array([self.backoffs[n] * (order < 3) for n in ngrams], np.float32),
                )
            )
        return build_tables(levels)

    def _backed_off(self, ngram: Ngram) -> float:
        if ngram in self.probabilities:
            return self.probabilities[ngram]
        return self.backoffs.get(ngram[:-1], 0.0) + self._backed_off(ngram[1:])


def random_lm(seed: int, words: Sequence[str]) -> ToyLm:
    """Return a model of ``words`` with random n-grams; it need not sum to one."""
    random = np.random.default_rng(seed)
    vocabulary = (*SPECIAL_WORDS, *words)
    ngrams: list[Ngram] = [(word,) for word in vocabulary]
    for order in (2, 3):
        contexts = [n for n in ngrams if len(n) == order - 1 and "</s>" not in n]
        longer = [(*context, word) for context in contexts for word in vocabulary if word != "<s>"]
        ngrams += [ngram for ngram in longer if random.random() < 0.4]
    return ToyLm(
        vocabulary=vocabulary,
        probabilities={ngram: float(-random.exponential(2.0)) for ngram in ngrams},
        backoffs={ngram: float(-random.exponential(0.5)) for ngram in ngrams},
    )
