"""Perplexity: how well a model predicts a text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from plainspeech.lm.scorer import Scorer
from plainspeech.lm.tables import UNKNOWN_ID


@dataclass(frozen=True)
class Prediction:
    """The prediction of a text by a model.

    Attributes:
        words: how many there are, without the ends of sentences.
        unknown: how many of them are not in the vocabulary.
        predicted: how many known words and ends of sentences there are.
        log_probability: natural logarithm of the probability of what was predicted. Unknown words
            are left out of it: they would count by the size of the vocabulary, not by the model.
    """

    words: int
    unknown: int
    predicted: int
    log_probability: float

    @property
    def perplexity(self) -> float:
        """Of the known words and the ends of sentences; not a number where there are none."""
        if not self.predicted:
            return math.nan
        return math.exp(-self.log_probability / self.predicted)

    @property
    def unknown_rate(self) -> float:
        """Share of the words that are not in the vocabulary."""
        return self.unknown / self.words if self.words else math.nan


def predict(scorer: Scorer, sentences: Iterable[Sequence[str]]) -> Prediction:
    """Predict the words of ``sentences`` and the end of each."""
    words, unknown, predicted, log_probability = 0, 0, 0, 0.0
    for sentence in sentences:
        known = scorer.ids([*sentence, "</s>"]) != UNKNOWN_ID
        words += len(sentence)
        unknown += int((~known).sum())
        predicted += int(known.sum())
        log_probability += float(scorer.log_probabilities(sentence)[known].sum(dtype=float))
    return Prediction(words, unknown, predicted, log_probability)
