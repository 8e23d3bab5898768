"""How words sound: a pronunciation lexicon in the format of the CMU Pronouncing Dictionary.

English spelling says little of its sounds: a network that learns letters alone has to learn, from
the same few hours of speech, that *though*, *through* and *tough* sound as they do. A lexicon
knows, and lets it learn from every word what a phone sounds like.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

from plainspeech.errors import DataError, why_unreadable

_VARIANT = re.compile(r"\(\d+\)$")
_STRESS = re.compile(r"\d$")
_COMMENTS = ("#", ";;;")
_MOST_PHONES = 6_000  # as many as characters of private use

BOUNDARY = 0
"""Id of the boundary between two words; phones have the ids after it."""

_FIRST = 0xE000  # of Unicode's private use area


class Converter(Protocol):
    """Finds pronunciations of words that a lexicon lacks, by their letters."""

    @property
    def name(self) -> str:
        """Different for converters that may convert differently."""

    def convert(self, words: Sequence[str], wide: bool = False) -> Sequence[Sequence[str]]:
        """Return the pronunciations of each of ``words``, the most probable first; or none.

        Args:
            words: that the lexicon lacks.
            wide: also hardly probable ones.
        """


@dataclass(frozen=True)
class Pronunciations:
    """A pronunciation lexicon.

    A pronunciation is a string with a character a phone, `phone_character` of its id: half a
    million phones are read, kept and compared as fast as letters so.

    Attributes:
        phones: names of the phones, sorted; the id of one is its place, from 1.
        words: for each word its pronunciations, the most usual first.
        converter: of other words; None for none.
    """

    phones: tuple[str, ...]
    words: Mapping[str, Sequence[str]]
    converter: Converter | None = field(default=None, repr=False, compare=False)

    @property
    def sha256(self) -> str:
        """Of phones and words, as hexadecimal digits."""
        words = self.words
        if isinstance(words, WordsOnDemand):
            return words.sha256
        lines = (f"{word} {' '.join(sounds)}\n" for word, sounds in words.items())
        text = "".join([" ".join(self.phones), "\n", *lines])
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()

    def of(self, word: str, wide: bool = False) -> Sequence[str]:
        """Return the pronunciations of ``word``, by the converter if the lexicon lacks it.

        Args:
            word: to be said.
            wide: of the converter, also hardly probable ones, for a word that is expected.
        """
        known = self.words.get(word)
        if known is None:
            known = self.converter.convert([word], wide)[0] if self.converter else ()
        return known

    def prepare(self) -> None:
        """Do now what the first word, and the first that the lexicon lacks, would wait for."""
        first = next(iter(self.words), "")
        if self.converter:
            self.converter.convert([first])

    def lacking(self, words: Iterable[str]) -> list[str]:
        """Return those of ``words``, each once, that are left to the converter, if there is one."""
        if self.converter is None:
            return []
        return [word for word in dict.fromkeys(words) if word not in self.words]

    def completed(self, words: Sequence[str]) -> Pronunciations:
        """Return the lexicon with those of ``words`` that it lacks and the converter finds."""
        lacking = self.lacking(words)
        if self.converter is None or not lacking:
            return self
        found = zip(lacking, self.converter.convert(lacking), strict=True)
        return replace(
            self, words={**self.words, **{word: sounds for word, sounds in found if sounds}}
        )

    @property
    def size(self) -> int:
        """Number of outputs of a model over the phones: the boundary, the phones and the blank."""
        return output_size(self.phones)

    def encode(self, text: str) -> list[int] | None:
        """Return the ids of the phones of ``text``, with `BOUNDARY` between words.

        Of several pronunciations of a word the first is taken. None if a word has none.
        """
        ids: list[int] = []
        for word in text.split():
            known = self.of(word)
            if not known:
                return None
            ids += [BOUNDARY] * bool(ids) + [ord(character) - _FIRST for character in known[0]]
        return ids

    def name(self, character: str) -> str:
        """Return the name of the phone that `phone_character` stands for."""
        return self.phones[ord(character) - _FIRST - 1]


class WordsOnDemand(Mapping[str, Sequence[str]]):
    """The words of a file, which is parsed when one of them is asked for: that takes a while.

    Args:
        sha256: of the file, as hexadecimal digits.
        parse: returns them.

    Attributes:
        sha256: what is derived from the words can be kept under it.
    """

    def __init__(self, sha256: str, parse: Callable[[], Mapping[str, Sequence[str]]]) -> None:
        self.sha256 = sha256
        self._parse = parse

    def __getitem__(self, word: str) -> Sequence[str]:
        return self._parsed[word]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parsed)

    def __len__(self) -> int:
        return len(self._parsed)

    @cached_property
    def _parsed(self) -> Mapping[str, Sequence[str]]:
        return self._parse()


def phone_character(phone: int) -> str:
    """Return the character that stands for the phone with this id."""
    return chr(_FIRST + phone)


def output_size(phones: Sequence[str]) -> int:
    """Return the number of outputs over ``phones``: the boundary of words, these and the blank."""
    return len(phones) + 2


def read_pronunciations(path: Path) -> Pronunciations:
    """Read a lexicon: in each line a word and its phones, separated by spaces.

    ``word(2)`` is another pronunciation of ``word``. Digits after a phone say how it is stressed
    and are left out. Empty lines, and what follows ``#`` or ``;;;``, are comments. Letters and
    their accents are composed (Unicode's NFC), as alphabets have them.

    Raises:
        DataError: the file cannot be read, has no word, or a line is not of this form.
    """
    try:
        return parse_pronunciations(path.read_bytes(), path)
    except OSError as error:
        raise DataError(f"{path}: cannot read the pronunciations: {error.strerror}") from error


def parse_pronunciations(content: bytes, path: Path) -> Pronunciations:
    """Return the lexicon in the ``content`` of a file; see `read_pronunciations`."""
    try:
        lines = unicodedata.normalize("NFC", content.decode("utf-8-sig")).splitlines()
    except UnicodeDecodeError as error:
        reason = why_unreadable(error)
        raise DataError(f"{path}: cannot read the pronunciations: {reason}") from error
    spoken: list[tuple[str, list[str]]] = []
    for number, line in enumerate(lines, start=1):
        if "#" in line or ";" in line:
            line = _without_comment(line)
        word, *phones = line.split() or [""]
        if not word:
            continue
        if not phones:
            raise DataError(f"{path}, line {number}: {word[:60]!r} has no phones after it")
        spoken.append((_VARIANT.sub("", word) if word[-1] == ")" else word, phones))
    if not spoken:
        raise DataError(f"{path}: no pronunciation is in it; a line is a word and its phones")
    stressed = {phone for _, phones in spoken for phone in phones}
    plain = {phone: _STRESS.sub("", phone) or phone for phone in stressed}
    names = sorted(set(plain.values()))
    if len(names) > _MOST_PHONES:
        raise DataError(f"{path}: has {len(names):,} phones; at most {_MOST_PHONES:,}")
    ids = {name: index for index, name in enumerate(names, start=BOUNDARY + 1)}
    characters = {phone: phone_character(ids[name]) for phone, name in plain.items()}
    words: dict[str, list[str]] = {}
    for word, phones in spoken:
        known = words.setdefault(word.lower(), [])
        sound = "".join([characters[phone] for phone in phones])
        if sound not in known:
            known.append(sound)
    return Pronunciations(tuple(names), words)


def _without_comment(line: str) -> str:
    for mark in _COMMENTS:
        line = line.partition(mark)[0]
    return line
