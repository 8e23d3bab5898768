"""Calibration of word confidences: how probable it is that a word is right.

A logistic regression combines what the search knows of a word. Its few weights are fitted to words
that are known to be right or wrong, and its confidences are probabilities for words like those.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, fields

import numpy as np
import numpy.typing as npt

from plainspeech.errors import ConfigurationError, DataError

Evidence = npt.NDArray[np.float64]
"""``(words, 6)``, what the search knows of each word:

0. the mean probability of its characters in the frames that wrote them;
1. the share of the beam that had it, see `plainspeech.decoding.kernels.word_posteriors`;
2. what the language model said of it: ``alpha`` times the natural logarithm of its probability
   after the words before it, less ``unknown_word_penalty`` outside the lexicon; 0 without a model;
3. how many characters it has;
4. how clearly all of its utterance was heard: the mean log-odds of 0 over the words;
5. the share of the texts that a recurrent language model scored anew that have it, see
   `plainspeech.decoding.rescoring.word_shares`; `UNTOLD` without such a model.
"""

PARTS = 6
"""Columns of `Evidence`."""

UNTOLD = 0.5
"""A share that says nothing: its log-odds are 0."""

_SOFTENING = 0.01  # so that probabilities of 0 and 1 have finite log-odds
_RIDGE = 1.0  # in squared units of the weights: as if few words had said that they are small
_STEPS = 50
_SHARES = (0, 1, 5)  # columns of probabilities
_CLOSE = 1e-9
# Weights that must not be negative.
_RISING = np.array([False, True, True, True, False, True, True])


@dataclass(frozen=True)
class Calibration:
    """Weights of the log-odds that a word is right.

    More acoustic probability, a greater share and a better score can only raise a confidence. In
    noise the same evidence for a word means less than in a quiet room, and the other words of the
    utterance tell which it is.

    Attributes:
        bias: added for each word.
        acoustic: times the log-odds of the mean probability of its characters; 0 or above.
        share: times the log-odds of its share of the beam; 0 or above.
        language: times its score in the language model, nats; 0 or above.
        characters: times how many it has.
        utterance: times the mean log-odds of all words of its utterance; 0 or above.
        rescored: times the log-odds of its share of the texts scored anew; 0 or above.
    """

    bias: float
    acoustic: float
    share: float
    language: float
    characters: float
    utterance: float = 0.0
    rescored: float = 0.0

    def __post_init__(self) -> None:
        for part in fields(self):
            value = getattr(self, part.name)
            if not math.isfinite(value):
                raise ConfigurationError(f"calibration: {part.name} is {value}; it must be finite")
            if value < 0 and part.name not in ("bias", "characters"):
                raise ConfigurationError(
                    f"calibration: {part.name} is {value}; it must not be below 0"
                )

    def confidences(self, evidence: Evidence) -> npt.NDArray[np.float64]:
        """Return the probability that each word is right, ``(words,)``."""
        return _logistic(_terms(evidence) @ np.array(astuple(self)))


WITH_LANGUAGE_MODEL = Calibration(-0.19, 0.38, 0.29, 0.31, 0.30)
"""Fitted to ``english-small`` and a 4-gram scorer on dev-clean (docs/decisions/0005)."""

WITHOUT_LANGUAGE_MODEL = Calibration(-1.82, 0.80, 0.41, 0.0, -0.15)
"""Fitted to ``english-small`` alone on dev-clean."""


def fit_calibration(evidence: Evidence, correct: npt.ArrayLike) -> Calibration:
    """Return the weights under which ``correct`` is most probable, nearly.

    A ridge keeps them small where the words say little: penalised logistic regression by Newton's
    method (T. Hastie, R. Tibshirani and J. Friedman, "The Elements of Statistical Learning", 4.4).

    Args:
        evidence: of words of the beam search, see `BeamSearchDecoder.decode_with_evidence`.
        correct: ``(words,)``, whether each is right.

    Raises:
        DataError: there are no right words, or no wrong ones.
    """
    right = np.asarray(correct, bool)
    if right.shape != (len(evidence),):
        raise DataError(
            f"calibration: correct has the shape {right.shape}; there are {len(evidence)} words"
        )
    if right.all() or not right.any():
        raise DataError("calibration: needs words that are right and words that are wrong")
    terms, free = _terms(evidence), np.ones(PARTS + 1, bool)
    while True:
        weights = np.zeros(PARTS + 1)
        weights[free] = _newton(terms[:, free], right)
        # Those that must not be negative are dropped where they would be.
        negative = (weights < 0) & _RISING
        if not negative.any():
            return Calibration(*weights.tolist())
        free &= ~negative


def _newton(terms: Evidence, right: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    weights = np.zeros(terms.shape[1])
    ridge = np.diag([0.0, *[_RIDGE] * (len(weights) - 1)])  # none on the bias
    for _ in range(_STEPS):
        found = _logistic(terms @ weights)
        slope = terms.T @ (right - found) - ridge @ weights
        curvature = (terms.T * (found * (1 - found))) @ terms + ridge
        step = np.linalg.solve(curvature, slope)
        weights += step
        if np.abs(step).max() < _CLOSE:
            break
    return weights


def _terms(evidence: Evidence) -> Evidence:
    """Return what the weights of a `Calibration` are times, ``(words, 7)``."""
    terms = np.ones((len(evidence), PARTS + 1))
    terms[:, 1:] = evidence
    for column in _SHARES:
        terms[:, column + 1] = _log_odds(evidence[:, column])
    return terms


def describe_utterance(evidence: Evidence) -> None:
    """Fill in what the words of an utterance say of it, from what is known of each of them."""
    if len(evidence):
        evidence[:, 4] = _log_odds(evidence[:, 0]).mean()


def _log_odds(shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    shares = np.clip(shares, 0.0, 1.0)
    return np.asarray(np.log((shares + _SOFTENING) / (1 + _SOFTENING - shares)))


def _logistic(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 0.5 + 0.5 * np.tanh(0.5 * values)
