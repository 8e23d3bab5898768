"""A decoder in one call."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from plainspeech.pyctcdecode.alphabet import Alphabet
from plainspeech.pyctcdecode.constants import (
    DEFAULT_ALPHA,
    DEFAULT_BETA,
    DEFAULT_SCORE_LM_BOUNDARY,
    DEFAULT_UNK_LOGP_OFFSET,
)
from plainspeech.pyctcdecode.decoder import BeamSearchDecoderCTC
from plainspeech.pyctcdecode.language_model import LanguageModel


def build_ctcdecoder(
    labels: Sequence[str],
    kenlm_model_path: str | Path | None = None,
    unigrams: Collection[str] | None = None,
    alpha: float = DEFAULT_ALPHA,
    beta: float = DEFAULT_BETA,
    unk_score_offset: float = DEFAULT_UNK_LOGP_OFFSET,
    lm_score_boundary: bool = DEFAULT_SCORE_LM_BOUNDARY,
) -> BeamSearchDecoderCTC:
    """Return a decoder.

    Args:
        labels: of a model's outputs, in order; see `Alphabet.build_alphabet`.
        kenlm_model_path: an ARPA file or a binary of KenLM's; None for no language model.
        unigrams: the words that are known; by default those of the ARPA file.
        alpha: see `LanguageModel`, as all that follow.
        beta: nats a word.
        unk_score_offset: for words that are not known.
        lm_score_boundary: whether texts begin and end as sentences do.

    Raises:
        PlainspeechError: labels and model do not fit this decoder, or one another.
    """
    alphabet = Alphabet.build_alphabet(labels)
    if kenlm_model_path is None:
        return BeamSearchDecoderCTC(alphabet)
    model = LanguageModel(
        kenlm_model_path, unigrams, alpha, beta, unk_score_offset, lm_score_boundary
    )
    return BeamSearchDecoderCTC(alphabet, model)
