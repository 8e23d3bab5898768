"""What the beam search asks of a language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from plainspeech.lm.kenlm import KenLMTables
from plainspeech.lm.tables import NGramTables

Tables: TypeAlias = NGramTables | KenLMTables
"""The n-grams, as `plainspeech.lm.tables.score` takes them."""


class LanguageModel(Protocol):
    """A vocabulary, n-grams over it, and their weights; `plainspeech.lm.scorer.Scorer` is one."""

    @property
    def vocabulary(self) -> Sequence[str]:
        """The special words, then the others; the id of a word is its index."""

    @property
    def tables(self) -> Tables:
        """N-grams over the ids."""

    @property
    def order(self) -> int:
        """The longest n-grams, in words."""

    @property
    def alpha(self) -> float:
        """Weight of the language model in the search, unless the caller gives another."""

    @property
    def beta(self) -> float:
        """Bonus for each word in the search, nats, unless the caller gives another."""
