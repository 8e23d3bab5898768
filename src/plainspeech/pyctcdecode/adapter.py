"""This package's beam search, its settings and its results in pyctcdecode's terms."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.results import Hypothesis
from plainspeech.decoding.settings import BeamSettings
from plainspeech.decoding.validation import matrix
from plainspeech.errors import ConfigurationError, DecodingError
from plainspeech.pyctcdecode.alphabet import Alphabet
from plainspeech.pyctcdecode.language_model import LEAST, LanguageModel, Words

Frames: TypeAlias = list[tuple[str, tuple[int, int]]]
"""Words, each with its first frame and the frame after its last."""

BeamWithoutState: TypeAlias = tuple[str, Frames, float, float]
"""An `OutputBeam` without ``last_lm_state``, as the calls for batches return them."""

_ROUNDING = 1e-3  # in the sum of a frame's probabilities


class OutputBeam(NamedTuple):
    """One candidate text of an utterance.

    Attributes:
        text: of it.
        last_lm_state: for ``lm_start_state`` in the next call; None without a language model.
        text_frames: its words in frames.
        logit_score: logarithm of the sum of the probabilities of the text's alignments.
        lm_score: ``logit_score`` and what language model and hot words add to it.
    """

    text: str
    last_lm_state: Words | None
    text_frames: Frames
    logit_score: float
    lm_score: float

    def without_state(self) -> BeamWithoutState:
        """Return what the calls for batches return."""
        return self.text, self.text_frames, self.logit_score, self.lm_score


def output_beam(
    hypothesis: Hypothesis, alphabet: Alphabet, model: LanguageModel | None, start: Words | None
) -> OutputBeam:
    """Return ``hypothesis``, whose seconds are frames, in pyctcdecode's terms."""
    text, words = alphabet.text(hypothesis.transcript.text), hypothesis.transcript.words
    return OutputBeam(
        text=text,
        last_lm_state=model.remembered(start, text) if model else None,
        text_frames=[(alphabet.text(w.text), (int(w.start), int(w.end))) for w in words],
        logit_score=hypothesis.acoustic_score,
        lm_score=hypothesis.score,
    )


def log_probabilities(logits: npt.ArrayLike, alphabet: Alphabet) -> npt.NDArray[np.float32]:
    """Return ``logits`` as natural log-probabilities, the blank last.

    Args:
        logits: ``(frames, labels)``: logits, log-probabilities or probabilities.
        alphabet: the labels.

    Raises:
        DecodingError: the shape is another, or they are not floats.
    """
    given = matrix(logits, "logits", len(alphabet.labels))
    rows = given[:, alphabet.order].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        if np.all(rows >= 0) and np.allclose(rows.sum(axis=1), 1, atol=_ROUNDING):
            rows = np.log(rows)
        rows -= rows.max(axis=1, keepdims=True)
        rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
    return rows.astype(np.float32)


def hot_word_weights(
    phrases: Iterable[str] | None, weight: float, vocabulary: Collection[str], penalty: float
) -> dict[str, float]:
    """Return hot words as nats for `plainspeech.decoding.beam_search.BeamSearchDecoder`.

    In pyctcdecode every word of every phrase counts for itself, and one outside the vocabulary
    has its penalty, too. Here a hot word is free of it, so its weight is less by as much.

    Args:
        phrases: words and phrases.
        weight: nats for each occurrence of a word.
        vocabulary: words without a penalty; empty for all.
        penalty: nats.

    Raises:
        DecodingError: ``phrases`` is one string, or has something else than strings.
    """
    if isinstance(phrases, str):
        raise DecodingError(f"hotwords is the string {phrases!r}; it must be a list of strings")
    if not isinstance(phrases, Iterable | None):
        raise DecodingError(f"hotwords is {phrases!r}; it must be a list of strings")
    listed = list(phrases or ())
    for phrase in listed:
        if not isinstance(phrase, str):
            raise DecodingError(f"hotwords has {phrase!r}; it must be a list of strings")
    words = {word for phrase in listed for word in phrase.split()} if weight else set()
    if not vocabulary or weight < 0:
        return dict.fromkeys(words, weight)
    unknown = max(weight - penalty, LEAST)
    return {word: weight if word in vocabulary else unknown for word in words}


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
