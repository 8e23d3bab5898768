"""Symbols, their ids, the normalisation of text to them, and the letters of some languages.

An alphabet decides how text is normalised to it, so there is one function for all languages,
`Alphabet.normalise`, and a language is its letters, `LANGUAGES`.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from plainspeech.errors import ConfigurationError, DataError, why_unreadable, wrong_type

APOSTROPHES = "'\u2019\u02bc\u2018`\u00b4"
"""Characters that are written for one; the first that an alphabet has stands for all of them."""

_PLAIN = {
    "æ": "ae",
    "œ": "oe",
    "ß": "ss",
    "ø": "o",
    "đ": "d",
    "ð": "d",
    "þ": "th",
    "ł": "l",
    "ı": "i",
}
"""Letters that Unicode does not decompose, as alphabets without them write them."""

_PARTING = "\u200b"
"""The space of no width, which parts words."""

_DOTLESS = str.maketrans({"I": "ı", "İ": "i"})

_LATIN = "abcdefghijklmnopqrstuvwxyz"

LANGUAGES = {
    "de": _LATIN + "äöüß",
    "en": _LATIN + "'",
    "es": _LATIN + "áéíóúüñ",
    "fr": _LATIN + "àâçèéêëîïôùûüÿ'",
    "it": _LATIN + "àèéìòù'",
    "pl": _LATIN + "ąćęłńóśźż",
    "pt": _LATIN + "àáâãçéêíóôõú",
    "ru": "абвгдежзийклмнопрстуфхцчшщъыьэюя",
    "sv": _LATIN + "åäöé",
    "tr": "abcçdefgğhıijklmnoöprsştuüvyzâîû",
    "uk": "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя'",
}
"""Letters by ISO 639-1 code of the language, without the space.

French writes ``oe`` for ``œ``, and Russian ``е`` for ``ё``, as most of its texts do.
"""

_LONGEST_NAME = 3
"""Characters: fewer letters than these are a misspelt language, not an alphabet."""


@dataclass(frozen=True)
class Alphabet:
    """The characters a model writes; the CTC blank is one more id, after the last of them.

    Attributes:
        symbols: one character each, without repetition; a symbol's id is its place.
    """

    symbols: tuple[str, ...]
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)
    _folds: _Folds = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.symbols, Sequence):
            raise ConfigurationError(wrong_type("alphabet", self.symbols, "pass its symbols"))
        single = (isinstance(symbol, str) and len(symbol) == 1 for symbol in self.symbols)
        if not self.symbols or not all(single):
            raise ConfigurationError("alphabet: every symbol must be exactly one character")
        if any(unicodedata.category(symbol) in ("Cc", "Cs") for symbol in self.symbols):
            raise ConfigurationError("alphabet: a symbol is a control character or half of one")
        ids = {symbol: index for index, symbol in enumerate(self.symbols)}
        if len(ids) != len(self.symbols):
            raise ConfigurationError("alphabet: a symbol is listed twice")
        object.__setattr__(self, "_ids", ids)
        object.__setattr__(self, "_folds", _Folds(frozenset(ids)))

    @property
    def blank_id(self) -> int:
        """Id of the CTC blank."""
        return len(self.symbols)

    @property
    def size(self) -> int:
        """Number of outputs of a model over this alphabet, the blank included."""
        return len(self.symbols) + 1

    @property
    def text(self) -> str:
        """All symbols in order, as recipes and bundles write them."""
        return "".join(self.symbols)

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
        """Fold ``text`` to the alphabet, as training, scorers, hot words and evaluation need it.

        - Case: lower, for an alphabet of small letters; upper, for one of capitals; as it is, for
          one of both. Capital ``I`` is ``ı`` where the alphabet has that letter.
        - Accents: stay where the alphabet has the letter with them, else they are dropped: ``é`` is
          ``é`` in French and ``e`` in English. ``œ``, ``ß`` and their like are two letters where
          the alphabet lacks them.
        - Apostrophes: all the same one; a space where the alphabet has none.
        - What is not seen within a word, such as the soft hyphens of e-books: nothing.
        - Anything else outside the alphabet, hyphens too: a space, and single spaces between words.

        Digits, and letters of other scripts, become spaces as well; `lost` names them, and
        `plainspeech data prepare` refuses them, since they were spoken.
        """
        return " ".join(self.cased(text).translate(self._folds).split())

    def fold(self, character: str) -> str:
        """Return what `normalise` makes of one character: letters, a space or nothing."""
        return self.cased(character).translate(self._folds)

    def lost(self, text: str) -> str:
        """Return the letters and digits that `normalise` drops of ``text``, each once, sorted.

        Punctuation is silent, but a dropped ``19`` or ``я`` was spoken.
        """
        return "".join(sorted(set().union(*map(self._folds.lost, set(self.cased(text))))))

    def cased(self, text: str) -> str:
        """Return ``text`` composed, in the case of an alphabet that has one alone."""
        composed = unicodedata.normalize("NFC", text)
        return unicodedata.normalize("NFC", self._folds.cased(composed))


class _Folds(dict[int, str]):
    """What an alphabet writes for a character, by its code point; for `str.translate`.

    Args:
        symbols: of the alphabet.
    """

    def __init__(self, symbols: frozenset[str]) -> None:
        self._symbols = symbols
        self._apostrophe = next((mark for mark in APOSTROPHES if mark in symbols), " ")
        self._small = all(symbol == symbol.lower() for symbol in symbols)
        self._capital = all(symbol == symbol.upper() for symbol in symbols)

    def cased(self, text: str) -> str:
        """Return ``text`` in small letters or capitals, if the alphabet has only those."""
        if self._small:
            return (text.translate(_DOTLESS) if "ı" in self._symbols else text).lower()
        return text.upper() if self._capital else text

    def lost(self, character: str) -> set[str]:
        """Return the letters and digits in ``character`` that become spaces."""
        parts = unicodedata.normalize("NFKD", character)
        found = {part for part in parts if part.isalnum() and " " in self[ord(part)]}
        return {character} if found and character.isalpha() else found

    def __missing__(self, code: int) -> str:
        """Find and keep what stands for a character that is looked up for the first time."""
        character = chr(code)
        found = self._same(character)
        if found is None:
            parts = unicodedata.normalize("NFKD", character)
            found = "".join(map(self._part, parts))
        self[code] = found
        return found

    def _same(self, character: str) -> str | None:
        """Return ``character`` as it is or in the other case, None where neither is a symbol."""
        forms = (character, character.lower(), character.upper())
        return next((form for form in forms if form in self._symbols), None)

    def _part(self, character: str) -> str:
        """Return one character of a decomposition as the alphabet writes it."""
        found = self._same(character)
        if found is not None:
            return found
        if character in APOSTROPHES:
            return self._apostrophe
        plain = _PLAIN.get(character.lower())
        if plain:
            return "".join(map(self._part, plain))
        return "" if unicodedata.combining(character) or _is_unseen(character) else " "


def _is_unseen(character: str) -> bool:
    """Return whether a character only says how those beside it are to be written."""
    return unicodedata.category(character) == "Cf" and character != _PARTING


def find_alphabet(name: str, folder: Path = Path()) -> Alphabet:
    r"""Return the alphabet called ``name``, with the space before its letters.

    Args:
        name: a language of `LANGUAGES`; the path of a text file, ``.txt``, with a letter a line
            (DeepSpeech's, where ``#`` begins a comment and ``\#`` is the sign itself); or the
            letters.
        folder: that a relative path starts from.

    Raises:
        ConfigurationError: there is no such language or file, or these are no letters.
    """
    if name in LANGUAGES:
        letters = LANGUAGES[name]
    elif name.endswith(".txt"):
        # pathlib's own fails where there is no such user.
        letters = _read_letters(folder / os.path.expanduser(name))  # noqa: PTH111
    elif len(name) <= _LONGEST_NAME:
        raise ConfigurationError(
            f"alphabet: there is no language {name!r}: name one of {', '.join(LANGUAGES)}, a file "
            f"NAME.txt with a letter a line, or all letters"
        )
    else:
        letters = unicodedata.normalize("NFC", name)
    return Alphabet((" ", *letters.replace(" ", "")))


def _read_letters(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path}: cannot read the alphabet: {why_unreadable(error)}"
        ) from error
    letters = ""
    for number, line in enumerate(lines, start=1):
        letter = unicodedata.normalize("NFC", line.rstrip("\r"))
        if not letter or letter.startswith("#"):
            continue
        letter = "#" if letter == "\\#" else letter
        if len(letter) != 1:
            raise ConfigurationError(f"{path}, line {number}: {letter!r} is not one letter")
        letters += letter
    return letters


def ctc_frames_needed(ids: Sequence[int]) -> int:
    """Return the least number of frames to which CTC can align ``ids``.

    One frame a symbol, and a blank between two equal neighbours (Graves et al., ICML 2006).
    """
    return len(ids) + sum(left == right for left, right in pairwise(ids))


def can_align(ids: Sequence[int], frames: int) -> bool:
    """Return whether CTC can align ``ids``, of which there must be one, to ``frames`` frames."""
    return len(ids) > 0 and ctc_frames_needed(ids) <= frames


ENGLISH = find_alphabet("en")
"""Space, a to z, apostrophe: LibriSpeech's transcripts in lower case."""
