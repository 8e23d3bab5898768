"""How widely the beam search looks, and what it believes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from plainspeech.decoding.calibration import Calibration
from plainspeech.errors import PlainspeechError

Merge = Literal["state", "prefix"]


@dataclass(frozen=True)
class BeamSettings:
    """What a beam search is told beside its alphabet and its scorer.

    A text has the score: logarithm of the sum of the probabilities of its CTC alignments, plus
    ``alpha`` times the natural logarithm of its probability in the language model, the end of the
    sentence included, plus ``beta`` for each word, less ``unknown_word_penalty`` for each word
    outside the lexicon, plus the weights of the hot words in it. Everything is in nats.

    Attributes:
        alpha: weight of the language model.
        beta: added for each word; for each character where the scorer is one of characters.
        beam_width: most hypotheses after a frame.
        beam_threshold: hypotheses this much below the best are dropped.
        cutoff_prob: the most probable symbols of a frame are considered until they have this
            probability together.
        cutoff_top_n: most symbols of a frame that are considered, the blank included.
        token_floor: symbols of a smaller log-probability are not considered. A frame with no
            symbol but the blank to consider costs next to nothing.
        unknown_word_penalty: subtracted for each word that is not in the scorer's lexicon; 0
            forbids such words.
        merge: ``"prefix"`` sums the alignments of each text and keeps all texts apart;
            ``"state"`` also keeps, of texts that lexicon, language model and hot words cannot
            tell apart from now on, the best alone: it finds the best text with fewer hypotheses,
            and has fewer alternatives to offer.
        calibration: makes confidences of what the search knows of a word; by default one that was
            fitted to the bundled model on dev-clean.
    """

    alpha: float = 0.5
    beta: float = 1.0
    beam_width: int = 100
    beam_threshold: float = 10.0
    cutoff_prob: float = 1.0
    cutoff_top_n: int = 40
    token_floor: float = -6.0
    unknown_word_penalty: float = 16.0
    merge: Merge = "state"
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        for name in ("alpha", "beta"):
            self._require(name, math.isfinite(getattr(self, name)), "a finite number")
        self._require("beam_width", _is_count(self.beam_width), "a whole number above 0")
        self._require("beam_threshold", self.beam_threshold > 0, "above 0")
        self._require("cutoff_prob", 0 < self.cutoff_prob <= 1, "above 0 and at most 1")
        self._require("cutoff_top_n", _is_count(self.cutoff_top_n), "a whole number above 0")
        self._require("token_floor", self.token_floor < 0, "a log-probability, below 0")
        penalty = self.unknown_word_penalty
        self._require("unknown_word_penalty", 0 <= penalty < math.inf, "0 or above, and finite")
        self._require("merge", self.merge in ("state", "prefix"), "'state' or 'prefix'")

    def _require(self, name: str, holds: bool, meaning: str) -> None:
        if not holds:
            raise PlainspeechError(f"{name} is {getattr(self, name)!r}; it must be {meaning}")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
