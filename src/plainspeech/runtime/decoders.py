"""How text is made of a model's log-probabilities: which decoder, and with which language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy.typing as npt

from plainspeech.decoding.greedy import GreedyDecoder
from plainspeech.errors import PlainspeechError, nearest
from plainspeech.runtime.bundle import Bundle
from plainspeech.transcript import Transcript

if TYPE_CHECKING:
    from plainspeech.decoding.decoder import BeamSearchDecoder, HotWords
    from plainspeech.decoding.results import Partial

DECODERS = ("greedy", "beam")

NO_LANGUAGE_MODEL = "none"
"""In place of the path of a scorer: the beam search does without."""


class DecoderStream(Protocol):
    """One utterance on its way through a decoder; where it is cut makes no difference."""

    def feed(self, log_probabilities: npt.ArrayLike) -> None:
        """Take the next frames, ``(frames, symbols)``, any number of them."""

    def partial(self) -> Partial:
        """Return the text so far, and what of it is certain."""

    def finish(self) -> Transcript:
        """End the utterance and return its text."""


class Decoder(Protocol):
    """What makes text of log-probabilities; see `plainspeech.decoding` for the two there are."""

    @property
    def description(self) -> str:
        """A few words for reports: two decoders of one description do the same."""

    def decode_batch(
        self,
        utterances: Sequence[npt.ArrayLike],
        threads: int = 1,
        hot_words: HotWords | None = None,
    ) -> list[Transcript]:
        """Return the text of each of ``utterances``, ``(frames, symbols)`` with a frame or more."""

    def stream(self, hot_words: HotWords | None = None) -> DecoderStream:
        """Begin an utterance that arrives piece by piece."""


def choose_decoder(
    bundle: Bundle, name: str | None = None, language_model: str | Path | None = None
) -> Decoder:
    """Return the decoder for a model.

    Args:
        bundle: the model.
        name: ``"greedy"`` or ``"beam"``; None takes the beam search where there is a scorer.
        language_model: a scorer in place of the bundle's, or ``"none"``; for the beam search only.

    Raises:
        PlainspeechError: there is no such decoder or scorer, or it does not fit the model.
    """
    if name is not None and name not in DECODERS:
        raise PlainspeechError(f"decoder: {name!r} is none; {nearest(name, DECODERS)}")
    if name == "greedy" and language_model is not None:
        raise PlainspeechError("language model: greedy decoding has no use for one; take beam")
    if name == "greedy" or (name is None and language_model is None and not bundle.scorer_files):
        return GreedyDecoder(bundle.alphabet, bundle.frame_seconds)
    return _beam_search(bundle, language_model)


def _beam_search(bundle: Bundle, language_model: str | Path | None) -> BeamSearchDecoder:
    from plainspeech.decoding.decoder import BeamSearchDecoder
    from plainspeech.lm.scorer import Scorer

    settings = bundle.decoding
    if language_model is None:
        scorer = bundle.scorer()
    elif language_model == NO_LANGUAGE_MODEL:
        scorer = None
    else:
        scorer = Scorer.load(language_model)
        settings = replace(settings, alpha=scorer.alpha, beta=scorer.beta, calibration=None)
    if scorer is None:
        settings = replace(settings, alpha=0.0, beta=0.0, merge="prefix", calibration=None)
    return BeamSearchDecoder(
        bundle.alphabet, scorer, frame_seconds=bundle.frame_seconds, **vars(settings)
    )
