"""A KenLM model with its weights, by pyctcdecode's names."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Set
from dataclasses import replace
from pathlib import Path

from plainspeech.errors import ConfigurationError, LanguageModelError
from plainspeech.files import replacing, write_atomically
from plainspeech.lm.arpa import LN10
from plainspeech.lm.kenlm import KenLMTables
from plainspeech.lm.kenlm_binary import is_kenlm_binary
from plainspeech.lm.scorer import Scorer
from plainspeech.lm.tables import SPECIAL_WORDS, score_word
from plainspeech.pyctcdecode.constants import (
    DEFAULT_ALPHA,
    DEFAULT_BETA,
    DEFAULT_SCORE_LM_BOUNDARY,
    DEFAULT_UNK_LOGP_OFFSET,
)

Words = tuple[str, ...]
"""The words before a text that the model depends on; ``<s>`` begins a sentence."""

LEAST = sys.float_info.min
"""Nats, in place of 0 where that would mean something else: a penalty of 0 forbids."""

_ATTRIBUTES = ("alpha", "beta", "unk_score_offset", "score_boundary")
_ATTRIBUTES_FILE, _UNIGRAMS_FILE = "attrs.json", "unigrams.txt"


class LanguageModel:
    """A model, the words that it may write, and its weights, which may be set at any time.

    Attributes:
        path: of the model.
        alpha: what natural logarithms of its probabilities are multiplied by.
        beta: nats added for each word.
        unk_score_offset: added to the logarithm to base 10 of the probability of a word that is
            not known, before that is multiplied by alpha.
        score_boundary: whether texts begin and end as sentences do.

    Args:
        path: an ARPA file, which may be compressed by gzip, or a binary of KenLM's.
        unigrams: the words that are known; by default those of the ARPA file.
        alpha: see above, as what follows.

    Raises:
        LanguageModelError: the file cannot be read, or is a binary and there are no unigrams.
    """

    def __init__(
        self,
        path: str | Path,
        unigrams: Collection[str] | None = None,
        alpha: float = DEFAULT_ALPHA,
        beta: float = DEFAULT_BETA,
        unk_score_offset: float = DEFAULT_UNK_LOGP_OFFSET,
        score_boundary: bool = DEFAULT_SCORE_LM_BOUNDARY,
    ) -> None:
        self.path = Path(path)
        self.alpha = alpha
        self.beta = beta
        self.unk_score_offset = unk_score_offset
        self.score_boundary = score_boundary
        self._scorer, self._known = _read(self.path, unigrams)

    @property
    def order(self) -> int:
        """Of the model."""
        return self._scorer.order

    @property
    def unigrams(self) -> list[str]:
        """The words that are known, sorted."""
        return sorted(self._known)

    def penalty(self) -> float:
        """Return what a word that is not known costs, nats, above 0.

        Raises:
            ConfigurationError: ``unk_score_offset`` is above 0.
        """
        if self.unk_score_offset > 0:
            raise ConfigurationError(
                f"unk_score_offset is {self.unk_score_offset!r}; it must be 0 or below"
            )
        return max(-self.alpha * LN10 * self.unk_score_offset, LEAST)

    def writable(self, characters: Set[str]) -> Scorer:
        """Return a scorer of the known words that are of ``characters`` only.

        Raises:
            LanguageModelError: there are none.
        """
        kept = {word for word in self._known if set(word) <= characters}
        if not kept:
            raise LanguageModelError(
                f"{self.path}: no known word of the model can be written with the labels; "
                f"do they agree in upper and lower case?"
            )
        # A word that is listed twice has its first id in the lexicon: the others are left out.
        first = next(word for word in self._scorer.words if word in kept)
        words = [word if word in kept else first for word in self._scorer.words]
        return replace(self._scorer, vocabulary=[*SPECIAL_WORDS, *words])

    def remembered(self, start: Words | None, text: str) -> Words:
        """Return the words before the next text, after ``text``, which followed ``start``."""
        if start is None:
            start = SPECIAL_WORDS[1:2] if self.score_boundary else ()
        words = (*start, *text.split())
        return words[max(0, len(words) - self.order + 1) :]

    def state_after(self, words: Words) -> int:
        """Return the state after ``words``, for `BeamSearchDecoder.within_sentence`."""
        known = (word if word in self._known or word in SPECIAL_WORDS else "" for word in words)
        state = 0
        for word in self._scorer.ids(known).tolist():
            state = int(score_word(self._scorer.tables, state, word)[1])
        return state

    def save_to_dir(self, folder: str | Path) -> None:
        """Write the model, its unigrams and its weights into ``folder``, as pyctcdecode does."""
        folder = Path(folder)
        with replacing(folder / self.path.name) as copy:
            copy.write_bytes(self.path.read_bytes())
        words = "".join(f"{word}\n" for word in self.unigrams)
        write_atomically(folder / _UNIGRAMS_FILE, words.encode())
        attributes = json.dumps({name: getattr(self, name) for name in _ATTRIBUTES})
        write_atomically(folder / _ATTRIBUTES_FILE, attributes.encode())

    @classmethod
    def load_from_dir(
        cls, folder: str | Path, unigram_encoding: str | None = None
    ) -> LanguageModel:
        """Load what pyctcdecode, or `save_to_dir`, wrote.

        Args:
            folder: the attributes, perhaps unigrams, and a model.
            unigram_encoding: of the unigrams; UTF-8 by default.

        Raises:
            LanguageModelError: something is missing, or as the constructor.
        """
        folder = Path(folder)
        try:
            attributes = json.loads((folder / _ATTRIBUTES_FILE).read_text())
            unigrams = folder / _UNIGRAMS_FILE
            words = None
            if unigrams.exists():
                words = unigrams.read_text(unigram_encoding or "utf-8").splitlines()
            weights = {name: attributes[name] for name in _ATTRIBUTES}
        except (OSError, ValueError, KeyError, TypeError, LookupError) as error:
            raise LanguageModelError(
                f"{folder}: is not a language model that pyctcdecode saved: {error}"
            ) from error
        return cls(_model_in(folder), words, **weights)


def _model_in(folder: Path) -> Path:
    """Return the one file of ``folder`` that must be the model."""
    others = {_ATTRIBUTES_FILE, _UNIGRAMS_FILE}
    found = sorted(p for p in folder.iterdir() if p.name not in others and p.name[0] != ".")
    if len(found) != 1:
        raise LanguageModelError(f"{folder}: has {len(found)} files that may be the model, not one")
    return found[0]


def _read(path: Path, unigrams: Collection[str] | None) -> tuple[Scorer, frozenset[str]]:
    """Return a model, and the words of ``unigrams`` that it has."""
    if not is_kenlm_binary(path):
        scorer = Scorer.from_arpa(path)
        words = frozenset(scorer.words)
        return scorer, words if unigrams is None else words & frozenset(unigrams)
    if unigrams is None:
        raise LanguageModelError(
            f"{path}: the words of a KenLM binary cannot be read from it; give them as unigrams"
        )
    scorer = Scorer.from_kenlm(path, sorted(unigrams))
    assert isinstance(scorer.tables, KenLMTables)
    model = scorer.tables.model
    return scorer, frozenset(word for word in scorer.words if word in model)
