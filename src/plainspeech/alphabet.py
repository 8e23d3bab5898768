"""Symbols, their ids, and the normalisation of text to them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from plainspeech.errors import ConfigurationError, DataError

_APOSTROPHES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'", "`": "'", "\u00b4": "'"})


@dataclass(frozen=True)
class Alphabet:
    """The characters a model writes; the CTC blank is one more id, after the last of them.

    Attributes:
        symbols: one character each, without repetition; a symbol's id is its place.
    """

    symbols: tuple[str, ...]
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.symbols or any(len(symbol) != 1 for symbol in self.symbols):
            raise ConfigurationError("alphabet: every symbol must be exactly one character")
        if any(unicodedata.category(symbol) in ("Cc", "Cs") for symbol in self.symbols):
            raise ConfigurationError("alphabet: a symbol is a control character or half of one")
        ids = {symbol: index for index, symbol in enumerate(self.symbols)}
        if len(ids) != len(self.symbols):
            raise ConfigurationError("alphabet: a symbol is listed twice")
        object.__setattr__(self, "_ids", ids)

    @property
    def blank_id(self) -> int:
        """Id of the CTC blank."""
        return len(self.symbols)

    @property
    def size(self) -> int:
        """Number of outputs of a model over this alphabet, the blank included."""
        return len(self.symbols) + 1

    def encode(self, text: str) -> list[int]:
        """Return the ids of the characters of ``text``.

        Raises:
            DataError: a character is not in the alphabet.
        """
        foreign = self.foreign(text)
        if foreign:
            raise DataError(f"text has {foreign!r}, which the alphabet does not have")
        return [self._ids[character] for character in text]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ``ids``; the blank writes nothing."""
        blank = self.blank_id
        return "".join(self.symbols[index] for index in ids if index != blank)

    def foreign(self, text: str) -> str:
        """Return the characters of ``text`` outside the alphabet, each once, sorted."""
        return "".join(sorted(set(text) - self._ids.keys()))

    def normalise(self, text: str) -> str:
        """Fold ``text`` to the alphabet as LibriSpeech's transcripts are.

        Lower case, accents dropped unless the alphabet has the letter with them, every apostrophe
        the same, any other character outside the alphabet a space, and single spaces between words.
        """
        composed = unicodedata.normalize("NFC", text.translate(_APOSTROPHES).lower())
        return " ".join("".join(map(self._fold, composed)).split())

    def _fold(self, character: str) -> str:
        if character in self._ids:
            return character
        decomposed = unicodedata.normalize("NFKD", character).lower()
        plain = (c for c in decomposed if not unicodedata.combining(c))
        return "".join(c if c in self._ids else " " for c in plain)


def ctc_frames_needed(ids: Sequence[int]) -> int:
    """Return the least number of frames to which CTC can align ``ids``.

    One frame a symbol, and a blank between two equal neighbours (Graves et al., ICML 2006).
    """
    return len(ids) + sum(left == right for left, right in pairwise(ids))


def can_align(ids: Sequence[int], frames: int) -> bool:
    """Return whether CTC can align ``ids``, of which there must be one, to ``frames`` frames."""
    return len(ids) > 0 and ctc_frames_needed(ids) <= frames


ENGLISH = Alphabet((" ", *"abcdefghijklmnopqrstuvwxyz", "'"))
"""Space, a to z, apostrophe: LibriSpeech's transcripts in lower case."""
