"""Texts scored anew by a recurrent language model beside the n-grams.

The search needs the n-grams' short contexts: a recurrent model's state is of all words before, so
that no two hypotheses could share one. The best texts of the end are few, and get the mean of the
logarithms of both models' probabilities (a log-linear interpolation) in place of the n-grams'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property

import numpy as np

from plainspeech.alphabet import Alphabet
from plainspeech.decoding.kernels.records import Doubles
from plainspeech.decoding.lexicon import ids_of_written
from plainspeech.lm.neural import NeuralState, SentenceScorer
from plainspeech.lm.scorer import Scorer, SentenceTables
from plainspeech.lm.tables import UNKNOWN_ID, NGramTables

RESCORED = 16
"""Most texts that are scored anew.

With 50 no fewer words are wrong (docs/decisions/0023).
"""
RESCORED_WITHIN = 5.0
"""Nats below the best of these texts beyond which none is scored anew: hardly one of them wins."""


@dataclass(frozen=True)
class BegunSentence:
    """The states of both models after the first words of a sentence.

    Attributes:
        ngrams: of the n-grams.
        recurrent: of the recurrent model.
    """

    ngrams: int
    recurrent: NeuralState


class RescoringModels:
    """The n-grams and the recurrent model of one scorer; threads may share it.

    Args:
        scorer: that has both.
        alphabet: that texts are written in.

    Attributes:
        weight: the recurrent model's share, unless the caller gives another.
    """

    def __init__(self, scorer: Scorer, alphabet: Alphabet) -> None:
        assert scorer.neural is not None
        assert isinstance(scorer.tables, NGramTables)
        self._vocabulary, self._alphabet = scorer.vocabulary, alphabet
        self._sentences = SentenceScorer(scorer.neural, scorer.tables.unigrams)
        self._tables = scorer.tables
        self.weight = scorer.neural_weight

    def begin(self) -> BegunSentence:
        """Return the states at the beginning of a sentence."""
        return BegunSentence(self._ngrams.begin(), self._sentences.begin())

    def after(self, before: BegunSentence, words: Sequence[str]) -> BegunSentence:
        """Return the states after some more words."""
        ids = self._ids_of(words)
        return BegunSentence(
            self._ngrams.after(before.ngrams, ids), self._sentences.after(before.recurrent, ids)
        )

    def differences(
        self, texts: Sequence[Sequence[str]], begun: BegunSentence | None = None, ended: bool = True
    ) -> list[float]:
        """Return by how much the recurrent model's ln p of each text is above the n-grams'.

        Args:
            texts: each as its words.
            begun: the states that they go on from; None for the beginning of a sentence.
            ended: whether the sentence ends with them.
        """
        begun = begun or self.begin()
        ids = [self._ids_of(words) for words in texts]
        recurrent = self._sentences.log_probabilities(ids, begun.recurrent, ended)
        ngrams = self._ngrams.log_probabilities(ids, begun.ngrams, ended)
        return [mine - other for mine, other in zip(recurrent, ngrams, strict=True)]

    def _ids_of(self, words: Sequence[str]) -> list[int]:
        return [self._ids.get(word, UNKNOWN_ID) for word in words]

    @cached_property
    def _ids(self) -> Mapping[str, int]:
        return ids_of_written(self._vocabulary, self._alphabet)

    @cached_property
    def _ngrams(self) -> SentenceTables:
        return SentenceTables(self._tables)


def word_shares(
    words: Sequence[str], texts: Sequence[Sequence[str]], scores: Sequence[float]
) -> Doubles:
    """Return the share of ``texts`` that have each of ``words`` at its place, ``(words,)``.

    A text counts as its score says, as if one of them had to be right: the posterior probability of
    a word over an n-best list (F. Wessel et al., "Confidence Measures for Large Vocabulary
    Continuous Speech Recognition", 2001).

    Args:
        words: of a text.
        texts: at least one, each as its words.
        scores: of each, nats.
    """
    weights = np.exp(np.array(scores) - max(scores))
    shares = np.zeros(len(words))
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(words)
    for text, weight in zip(texts, weights / weights.sum(), strict=True):
        matcher.set_seq1(text)
        for block in matcher.get_matching_blocks():
            shares[block.b : block.b + block.size] += weight
    return shares


@dataclass(frozen=True)
class Rescoring:
    """What texts gain when a search has ended.

    Attributes:
        models: of the scorer.
        weight: of the recurrent model in the score, ``alpha * neural_weight``.
    """

    models: RescoringModels
    weight: float

    def gains(
        self, texts: Sequence[Sequence[str]], begun: BegunSentence | None = None, ended: bool = True
    ) -> list[float]:
        """Return the nats that each score rises by; see `RescoringModels.differences`."""
        return [self.weight * each for each in self.models.differences(texts, begun, ended)]
