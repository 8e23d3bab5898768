"""What goes into the search and what comes out, in pyctcdecode's terms."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from plainspeech.decoding.results import Hypothesis
from plainspeech.decoding.validation import matrix
from plainspeech.errors import DecodingError
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
        DecodingError: ``phrases`` is one string.
    """
    if isinstance(phrases, str):
        raise DecodingError(f"hotwords is the string {phrases!r}; it must be a list of strings")
    words = {word for phrase in phrases or () for word in phrase.split()} if weight else set()
    if not vocabulary or weight < 0:
        return dict.fromkeys(words, weight)
    unknown = max(weight - penalty, LEAST)
    return {word: weight if word in vocabulary else unknown for word in words}
