"""The beginning of a text that is settled while the rest is still searched for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from plainspeech.decoding.kernels.records import PREFIX, Records
from plainspeech.decoding.n_best import EndedText
from plainspeech.decoding.rescoring import BegunSentence


@dataclass(frozen=True)
class SettledText:
    """Words that all texts of a search begin with from now on.

    They may be others than those that the search goes on with: it has merged both.

    Attributes:
        node: the prefix in the tree of the search in whose place they are.
        depth: how many prefixes lead to it, itself included.
        prefixes: of the settled text, the shortest first, of records `PREFIX`.
        words: as they are written.
        shares: of each, in the texts that it was chosen from.
        begun: the states of both language models after the words; None before the first.
        score: nats by which the search ranks this text above that which it goes on with.
        lm: of which so much is from the language model.
        hot: and from hot words.
        gain: nats that the recurrent language model has added.
    """

    node: int = 0
    depth: int = 0
    prefixes: Records = field(default_factory=lambda: np.empty(0, PREFIX))
    words: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    begun: BegunSentence | None = None
    score: float = 0.0
    lm: float = 0.0
    hot: float = 0.0
    gain: float = 0.0

    @property
    def ngrams(self) -> int | None:
        """State of the n-grams after the words; None before the first."""
        return self.begun.ngrams if self.begun else None

    def completed(self, text: EndedText) -> EndedText:
        """Return ``text``, of the tree, with these words in place of those at its beginning."""
        rest = text.prefixes[self.depth :].copy()
        rest["lm"] += np.float32(self.lm)
        rest["hot"] += np.float32(self.hot)
        return replace(
            text,
            score=text.score + self.score,
            lm=text.lm + self.lm,
            hot=text.hot + self.hot,
            prefixes=np.concatenate([self.prefixes, rest]),
        )


NOTHING = SettledText()
"""The beginning of every text."""
