"""The decoder's definition, by enumeration: every alignment of every text, and nothing clever."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from plainspeech.alphabet import Alphabet
from plainspeech.arrays import Array

LogProbability = Callable[[Sequence[str], str], float]
"""Natural logarithm of the probability of a word after others; "</s>" is the end."""


@dataclass(frozen=True)
class Reference:
    """The score of a text, as `plainspeech.decoding.settings` defines it.

    Attributes:
        alphabet: whose space, if it has one, parts words.
        lexicon: words that cost no penalty; None for any.
        lm: language model over words, or over characters.
        of_characters: whether ``lm`` is over characters.
        hot_words: nats for each occurrence.
    """

    alphabet: Alphabet
    lexicon: frozenset[str] | None = None
    lm: LogProbability | None = None
    of_characters: bool = False
    alpha: float = 0.0
    beta: float = 0.0
    penalty: float = 0.0
    hot_words: Mapping[str, float] = field(default_factory=dict)

    def scores(self, rows: Array) -> dict[str, tuple[float, float, float]]:
        """Return acoustic, language model and hot-word scores of all texts that may be."""
        found = {}
        for labels, acoustic in acoustic_scores(rows, self.alphabet).items():
            lm = self.lm_score(labels)
            if acoustic > -np.inf and lm > -np.inf:
                found[labels] = (acoustic, lm, self.hot_score(labels))
        return found

    def lm_score(self, text: str) -> float:
        if self.lm is None:
            return 0.0
        units = list(text) if self.of_characters else text.split()
        total = self.alpha * self.lm(units, "</s>")
        for index, unit in enumerate(units):
            total += self.alpha * self.lm(units[:index], unit) + self.beta
            if self.lexicon is not None and unit not in self.lexicon:
                total -= self._penalty(units[: index + 1])
        return total

    def hot_score(self, text: str) -> float:
        words = text.split()
        total = 0.0
        for phrase, weight in self.hot_words.items():
            parts = phrase.split()
            ends = range(len(parts), len(words) + 1)
            total += weight * sum(words[end - len(parts) : end] == parts for end in ends)
        return total

    def _penalty(self, words: list[str]) -> float:
        """Return what the last of ``words`` costs, which is outside the lexicon."""
        for phrase, weight in self.hot_words.items():
            parts = phrase.split()
            for length in range(1, min(len(parts), len(words)) + 1):
                if weight > 0 and words[-length:] == parts[:length]:
                    return 0.0
        return self.penalty or np.inf


def acoustic_scores(rows: Array, alphabet: Alphabet) -> dict[str, float]:
    """Return the logarithm of the sum of the probabilities of each text's alignments."""
    sums: dict[str, float] = defaultdict(float)
    probabilities = np.exp(rows.astype(np.float64))
    for path in itertools.product(range(alphabet.size), repeat=len(rows)):
        collapsed = [symbol for symbol, _ in itertools.groupby(path)]
        text = " ".join(alphabet.decode(collapsed).split())
        sums[text] += float(np.prod(probabilities[np.arange(len(rows)), path]))
    with np.errstate(divide="ignore"):
        return {text: float(np.log(value)) for text, value in sums.items()}


def best_alignment(rows: Array, text: str, alphabet: Alphabet) -> tuple[int, ...]:
    """Return the most probable of the paths that write ``text``."""

    def writes(path: tuple[int, ...]) -> bool:
        collapsed = [symbol for symbol, _ in itertools.groupby(path)]
        return " ".join(alphabet.decode(collapsed).split()) == text

    paths = itertools.product(range(alphabet.size), repeat=len(rows))
    return max(
        filter(writes, paths), key=lambda path: float(rows[np.arange(len(rows)), path].sum())
    )


def random_rows(seed: int, frames: int, size: int, sharpness: float = 1.5) -> Array:
    """Return log-probabilities of no meaning."""
    rows = np.random.default_rng(seed).normal(size=(frames, size)) * sharpness
    return np.asarray(rows - np.log(np.exp(rows).sum(axis=1, keepdims=True)), np.float32)
