"""How words sound: a pronunciation lexicon in the format of the CMU Pronouncing Dictionary.

English spelling says little of its sounds: a network that learns letters alone has to learn, from
the same few hours of speech, that *though*, *through* and *tough* sound as they do. A lexicon
knows, and lets it learn from every word what a phone sounds like.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from plainspeech.errors import DataError

_VARIANT = re.compile(r"\(\d+\)$")
_STRESS = re.compile(r"\d$")
_COMMENTS = ("#", ";;;")

BOUNDARY = 0
"""Id of the boundary between two words; phones have the ids after it."""


@dataclass(frozen=True)
class Pronunciations:
    """A pronunciation lexicon.

    Attributes:
        phones: names of the phones, sorted.
        words: for each word its pronunciations, as ids, the most usual first.
    """

    phones: tuple[str, ...]
    words: Mapping[str, Sequence[tuple[int, ...]]]

    @property
    def size(self) -> int:
        """Number of outputs of a model over the phones: the boundary, the phones and the blank."""
        return output_size(self.phones)

    def share_of(self, words: Sequence[str]) -> float:
        """Return the share of ``words`` that have a pronunciation; 0 of none."""
        return sum(word in self.words for word in words) / max(len(words), 1)

    def encode(self, text: str) -> list[int] | None:
        """Return the ids of the phones of ``text``, with `BOUNDARY` between words.

        Of several pronunciations of a word the first is taken. None if the lexicon lacks a word.
        """
        ids: list[int] = []
        for word in text.split():
            known = self.words.get(word)
            if known is None:
                return None
            ids += (BOUNDARY, *known[0]) if ids else known[0]
        return ids


def output_size(phones: Sequence[str]) -> int:
    """Return the number of outputs over ``phones``: the boundary of words, these and the blank."""
    return len(phones) + 2


def read_pronunciations(path: Path) -> Pronunciations:
    """Read a lexicon: in each line a word and its phones, separated by spaces.

    ``word(2)`` is another pronunciation of ``word``. Digits after a phone say how it is stressed
    and are left out. Empty lines, and what follows ``#`` or ``;;;``, are comments.

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
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: cannot read the pronunciations: {error}") from error
    named: dict[str, dict[tuple[str, ...], None]] = {}
    for number, line in enumerate(lines, start=1):
        word, *phones = _without_comment(line).split() or [""]
        if not word:
            continue
        if not phones:
            raise DataError(f"{path}, line {number}: {word[:60]!r} has no phones after it")
        named.setdefault(_VARIANT.sub("", word).lower(), {})[
            tuple(_STRESS.sub("", phone) for phone in phones)
        ] = None
    if not named:
        raise DataError(f"{path}: no pronunciation is in it; a line is a word and its phones")
    names = sorted({phone for known in named.values() for phones in known for phone in phones})
    ids = {phone: index for index, phone in enumerate(names, start=BOUNDARY + 1)}
    words = {
        word: tuple(tuple(ids[phone] for phone in phones) for phones in known)
        for word, known in named.items()
    }
    return Pronunciations(tuple(names), words)


def _without_comment(line: str) -> str:
    for mark in _COMMENTS:
        line = line.partition(mark)[0]
    return line
