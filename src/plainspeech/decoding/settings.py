"""Settings of the beam search: weights, thresholds, and the definition of a text's score."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Literal

from plainspeech.decoding.calibration import Calibration
from plainspeech.errors import ConfigurationError

Merge = Literal["state", "prefix"]

# Bounds far beyond what is of use, within which the scores of the search stay finite.
_LARGEST = 100.0  # alpha, and beta in nats
_LARGEST_PENALTY = 1e6  # nats
_LARGEST_PRIOR_WEIGHT = 2.0
_LEAST_LOG_PRIOR = -100.0
_WIDEST = 100_000  # hypotheses
_MOST_SYMBOLS = 1 << 20


@dataclass(frozen=True)
class BeamSettings:
    """Settings of the beam search.

    A text has the score: logarithm of the sum of the probabilities of its CTC alignments, plus
    ``alpha`` times the natural logarithm of its probability in the language model, the end of the
    sentence included, plus ``beta`` for each word, less ``unknown_word_penalty`` for each word
    outside the lexicon, plus the weights of the hot words in it. Everything is in nats. With
    ``prior_weight``, the probabilities of the alignments are of scaled likelihoods
    (`plainspeech.decoding.priors`).

    A scorer may have a recurrent language model beside its n-grams
    (`plainspeech.decoding.rescoring`): the search uses the n-grams alone, and of the texts that are
    left in the end the logarithm of the probability is a mean of both, ``neural_weight`` the
    recurrent one's share.

    Attributes:
        alpha: weight of the language model.
        beta: added for each word; for each character where the scorer is one of characters.
        beam_width: most hypotheses after a frame.
        beam_threshold: hypotheses this much below the best are dropped.
        cutoff_prob: the most probable symbols of a frame are considered until they have this
            probability together.
        cutoff_top_n: most symbols of a frame that are considered, the blank included.
        token_floor: symbols of a smaller log-probability are not considered. A frame in which
            only the blank is considered costs next to nothing.
        unknown_word_penalty: subtracted for each word that is not in the scorer's lexicon,
            however long it is; 0 forbids such words. Where it is low, a wide beam finds that
            several words written as one cost less than each of them alone.
        prior_weight: the power of the symbols' priors that each frame is divided by.
        log_priors: natural logarithms of these priors, a symbol each, the blank last; needed where
            ``prior_weight`` is not 0.
        merge: ``"prefix"`` sums the alignments of each text and keeps all texts apart;
            ``"state"`` also goes on with only the best of the texts with the same state of lexicon,
            language model and hot words, whose continuations have equal scores: it finds better
            texts with fewer hypotheses. When the search has ended the others are found again
            (`plainspeech.decoding.kernels.recombination`).
        calibration: computes confidences from the evidence for each word; by default one that was
            fitted to the bundled model on dev-clean.
        neural_weight: share of the recurrent language model, from 0 to 1; 0 without one.
    """

    alpha: float = 0.5
    beta: float = 1.0
    beam_width: int = 100
    beam_threshold: float = 10.0
    cutoff_prob: float = 1.0
    cutoff_top_n: int = 40
    token_floor: float = -6.0
    unknown_word_penalty: float = 30.0
    prior_weight: float = 0.0
    log_priors: tuple[float, ...] | None = None
    merge: Merge = "state"
    calibration: Calibration | None = None
    neural_weight: float = 0.0

    def __post_init__(self) -> None:
        for name in ("alpha", "beta"):
            self._require_number(name, -_LARGEST, _LARGEST)
        self._require_number("beam_threshold", 0, math.inf)
        self._require("beam_threshold", self.beam_threshold > 0, "above 0")
        self._require_number("cutoff_prob", 0, 1)
        self._require_number("neural_weight", 0, 1)
        self._require("cutoff_prob", self.cutoff_prob > 0, "above 0 and at most 1")
        self._require_number("token_floor", -math.inf, 0)
        self._require("token_floor", self.token_floor < 0, "a log-probability, below 0")
        self._require_number("unknown_word_penalty", 0, _LARGEST_PENALTY)
        self._require_number("prior_weight", 0, _LARGEST_PRIOR_WEIGHT)
        self._require_priors()
        for name, most in (("beam_width", _WIDEST), ("cutoff_top_n", _MOST_SYMBOLS)):
            holds = _is_count(getattr(self, name)) and getattr(self, name) <= most
            self._require(name, holds, f"a whole number from 1 to {most:,}")
        self._require("merge", self.merge in ("state", "prefix"), "'state' or 'prefix'")

    def _require_priors(self) -> None:
        priors = self.log_priors
        if priors is None:
            self._require("prior_weight", not self.prior_weight, "0 without log_priors")
        elif not all(_is_number(each) and _LEAST_LOG_PRIOR <= each <= 0 for each in priors):
            raise ConfigurationError(
                f"log_priors must be natural logarithms of probabilities, from "
                f"{_LEAST_LOG_PRIOR:g} to 0"
            )

    def _require_number(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        holds = _is_number(value) and low <= value <= high
        self._require(name, holds, f"a number from {low:g} to {high:g}")

    def _require(self, name: str, holds: bool, meaning: str) -> None:
        if not holds:
            raise ConfigurationError(f"{name} is {getattr(self, name)!r}; it must be {meaning}")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
