"""What an alphabet does not write of texts, counted: it drops digits, or writes ``ü`` as ``u``.

Both are right for some texts and silent losses of others, so that whoever folds texts to an
alphabet that a user has named, or has not, says what became of them.
"""

from __future__ import annotations

import unicodedata
from collections import Counter

from plainspeech.alphabet import APOSTROPHES, Alphabet
from plainspeech.errors import counted

_SHOWN = 10
"""Characters that are listed."""


class ForeignCharacters:
    """Counts texts with letters and digits that an alphabet lacks.

    Args:
        alphabet: that texts are folded to.
    """

    def __init__(self, alphabet: Alphabet) -> None:
        self._alphabet = alphabet
        self._silent = set(alphabet.symbols)  # of which nothing is to be said
        self._known: dict[str, tuple[str, str]] = {}
        self._dropped: Counter[str] = Counter()
        self._replaced: Counter[str] = Counter()
        self._texts_dropping = self._texts_replacing = 0

    def add(self, text: str) -> None:
        """Count a text, as it was before `Alphabet.normalise`."""
        others = set(self._alphabet.cased(text)) - self._silent
        if not others:
            return
        found = [self._parts(one) for one in others]
        dropped = {one for one, _ in found if one}
        replaced = {one for _, one in found if one}
        self._dropped.update(dropped)
        self._replaced.update(replaced)
        self._texts_dropping += bool(dropped)
        self._texts_replacing += bool(replaced)

    def lines(self, texts: str) -> list[str]:
        """Return a line about what is dropped and one about what is replaced, if anything is.

        Args:
            texts: what one is called, such as ``"line"``.
        """
        lines = []
        if self._dropped:
            lines.append(
                f"{_having(self._texts_dropping, texts)} characters that the alphabet lacks, which "
                f"were dropped: {_listed(self._dropped)}; spell out what is said, 1990 as nineteen "
                f"ninety, or name the language or letters (--alphabet)"
            )
        if self._replaced:
            lines.append(
                f"{_having(self._texts_replacing, texts)} letters that the alphabet lacks, which "
                f"were written as others: {_listed(self._replaced)}; if they are letters of the "
                f"language, name it (--alphabet)"
            )
        return lines

    def _parts(self, character: str) -> tuple[str, str]:
        """Return a foreign character as what is dropped, and as what is replaced, or neither."""
        if character not in self._known:
            self._known[character] = self._found(character)
            if not any(self._known[character]):
                self._silent.add(character)
        return self._known[character]

    def _found(self, character: str) -> tuple[str, str]:
        if self._alphabet.lost(character):
            return character, ""
        # Ligatures and letters of full width are the same letters in other forms.
        same = not self._alphabet.foreign(unicodedata.normalize("NFKC", character))
        if same or not character.isalpha() or character in APOSTROPHES:
            return "", ""
        return "", f"{character} as {self._alphabet.fold(character)}"


def _having(count: int, texts: str) -> str:
    return f"{counted(count, texts)} {'has' if count == 1 else 'have'}"


def _listed(counts: Counter[str]) -> str:
    most = sorted(counts, key=lambda one: (-counts[one], one))
    listed = ", ".join(most[:_SHOWN])
    return f"{listed}, ..." if len(counts) > _SHOWN else listed
