"""How far confidences are the probabilities that words are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plainspeech.evaluation.error_rates import Pair, align_words

Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_LEAST = 1e-4  # what is surer than this counts as this in a logarithm


@dataclass(frozen=True)
class Reliability:
    """Words in bins of like confidence and of equal size, the least sure first.

    Attributes:
        confidences: ``(bins,)``, the mean of each.
        accuracies: ``(bins,)``, the share of its words that are right.
        counts: ``(bins,)``, of its words.
    """

    confidences: Doubles
    accuracies: Doubles
    counts: npt.NDArray[np.int64]

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance of the two, over all words."""
        distances = np.abs(self.confidences - self.accuracies)
        return float((distances * self.counts).sum() / self.counts.sum())


def correct_words(references: Sequence[str], hypotheses: Sequence[str]) -> Flags:
    """Return for each word of ``hypotheses``, one after the other, whether it was said there."""
    steps = (
        step
        for reference, hypothesis in zip(references, hypotheses, strict=True)
        for step in align_words(Pair("", "", reference, hypothesis))
    )
    return np.array(
        [step.operation == "hit" for step in steps if step.operation != "deletion"], bool
    )


def reliability(confidences: Doubles, correct: Flags | Doubles, bins: int = 10) -> Reliability:
    """Return ``bins`` bins of the words, fewer where there are fewer words.

    Args:
        confidences: ``(words,)``, 0 to 1.
        correct: ``(words,)``, whether each is right, or the share of right ones where it stands for
            several.
        bins: how many.
    """
    order = np.argsort(confidences, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return Reliability(
        confidences=np.array([confidences[part].mean() for part in parts]),
        accuracies=np.array([correct[part].mean() for part in parts]),
        counts=np.array([len(part) for part in parts]),
    )


def discrimination(confidences: Doubles, correct: Flags) -> float:
    """Return the area under the ROC: how often a right word has more confidence than a wrong one.

    There must be words of both kinds.
    """
    _, places, counts = np.unique(confidences, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    right, wrong = int(correct.sum()), int((~correct).sum())
    return float((ranks[correct].sum() - right * (right + 1) / 2) / (right * wrong))


def normalised_cross_entropy(confidences: Doubles, correct: Flags) -> float:
    """Return the share of the entropy that the confidences remove (NIST's NCE).

    One is perfect; zero is what the same confidence for all words has, the share that is right;
    below zero they mislead. There must be words of both kinds.
    """
    share = np.full(len(correct), correct.mean())
    return 1 - _surprise(confidences, correct) / _surprise(share, correct)


def _surprise(confidences: Doubles, correct: Flags) -> float:
    sure = np.clip(confidences, _LEAST, 1 - _LEAST)
    return float(-np.log(np.where(correct, sure, 1 - sure)).mean())
