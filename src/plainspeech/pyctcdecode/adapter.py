"""This package's beam search, with its settings in pyctcdecode's terms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.settings import BeamSettings
from plainspeech.errors import ConfigurationError
from plainspeech.pyctcdecode.alphabet import Alphabet
from plainspeech.pyctcdecode.beams import hot_word_weights
from plainspeech.pyctcdecode.language_model import LanguageModel, Words


@dataclass(frozen=True)
class Pruning:
    """How widely to look; see `plainspeech.pyctcdecode.decoder.BeamSearchDecoderCTC`."""

    beam_width: int
    beam_prune_logp: float
    token_min_logp: float
    prune_history: bool

    def __post_init__(self) -> None:
        for name in ("beam_prune_logp", "token_min_logp"):
            if not getattr(self, name) < 0:
                raise ConfigurationError(f"{name} is {getattr(self, name)!r}; it must be below 0")


class SearchAdapter:
    """A beam search for an alphabet and a language model, whose weights may change.

    Args:
        alphabet: the labels.
        model: None for none.

    Raises:
        LanguageModelError: alphabet and language model do not fit.
    """

    def __init__(self, alphabet: Alphabet, model: LanguageModel | None) -> None:
        symbols = alphabet.symbols
        scorer = model.writable(frozenset(symbols.symbols)) if model else None
        # A second is a frame, so that times are places.
        self._decoder = BeamSearchDecoder(
            symbols, scorer, frame_seconds=1.0, cutoff_top_n=symbols.size
        )
        self._vocabulary = frozenset(scorer.words) if scorer else frozenset[str]()

    def tuned(
        self,
        rows: npt.NDArray[np.float32],
        pruning: Pruning,
        model: LanguageModel | None,
        start: Words | None,
    ) -> BeamSearchDecoder:
        """Return the decoder for ``rows``, with the weights that ``model`` has now.

        Args:
            rows: ``(frames, symbols)``, natural log-probabilities.
            pruning: how widely to look.
            model: None for none.
            start: the words before the text, if it does not begin a sentence.

        Raises:
            ConfigurationError: a setting is out of range.
        """
        # Read and written once: threads that share the adapter may replace it at any time.
        decoder = self._decoder
        settings = _settings(rows, pruning, model, decoder.settings)
        if settings != decoder.settings:
            self._decoder = decoder = decoder.with_settings(**vars(settings))
        if model and (start is not None or not model.score_boundary):
            return decoder.within_sentence(model.state_after(start or ()), model.score_boundary)
        return decoder

    def hot_words(
        self, phrases: Iterable[str] | None, weight: float, model: LanguageModel | None
    ) -> dict[str, float]:
        """Return hot words as the decoder takes them; see `hot_word_weights`."""
        penalty = model.penalty() if model else 0.0
        return hot_word_weights(phrases, weight, self._vocabulary, penalty)


def _settings(
    rows: npt.NDArray[np.float32],
    pruning: Pruning,
    model: LanguageModel | None,
    others: BeamSettings,
) -> BeamSettings:
    # The best label of a frame is considered, however improbable.
    floor = min(pruning.token_min_logp, float(rows.max(axis=1).min()))
    searched = replace(
        others,
        beam_width=pruning.beam_width,
        beam_threshold=-pruning.beam_prune_logp,
        token_floor=floor,
    )
    if model is None:
        return searched
    return replace(
        searched,
        alpha=model.alpha,
        beta=model.beta,
        unknown_word_penalty=model.penalty(),
        merge="state" if pruning.prune_history else "prefix",
    )
