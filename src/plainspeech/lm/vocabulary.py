"""The words of a scorer, cut out of the text of their file when they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import overload

import numpy as np

from plainspeech.lm.tables import SPECIAL_WORDS

_AT_ONCE = 1_000  # words that are cut out together by whoever goes through all


class Vocabulary(Sequence[str]):
    """The special words, then those of a text.

    A start needs few of them: as strings, 160,000 take 35 ms and 10 MB.

    Args:
        lines: UTF-8, one word a line; what is after the last newline does not count.
    """

    def __init__(self, lines: bytes) -> None:
        self._text = "".join(f"{word}\n" for word in SPECIAL_WORDS).encode() + lines
        ends = np.flatnonzero(np.frombuffer(self._text, np.uint8) == ord("\n"))
        self._starts = np.concatenate([[0], ends + 1])

    @cached_property
    def sha256(self) -> str:
        """Of the words, as `digest_of` has it."""
        return hashlib.sha256(self._text[: self._starts[-1]]).hexdigest()

    def __len__(self) -> int:
        """Return how many there are, the special ones included."""
        return len(self._starts) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        """Return a word, or a list of some."""
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            return self._cut(start, stop)[::step] if step > 0 else list(self)[index]
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} words, but none at {index}")
        place = index % len(self)
        return self._cut(place, place + 1)[0]

    def __iter__(self) -> Iterator[str]:
        """Go through the words."""
        for start in range(0, len(self), _AT_ONCE):
            yield from self._cut(start, min(start + _AT_ONCE, len(self)))

    def __eq__(self, other: object) -> bool:
        """Return whether ``other`` has the same words."""
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def _cut(self, start: int, stop: int) -> list[str]:
        if start >= stop:
            return []
        text = self._text[self._starts[start] : self._starts[stop] - 1]
        return text.decode(errors="replace").split("\n")


def is_over_characters(vocabulary: Sequence[str]) -> bool:
    """Return whether a language model is over characters: each of its words is one.

    Args:
        vocabulary: the special words, then the others.
    """
    return all(len(word) == 1 for word in islice(vocabulary, len(SPECIAL_WORDS), None))


def digest_of(vocabulary: Sequence[str]) -> str:
    """Return a SHA-256 of words, as hexadecimal digits."""
    if isinstance(vocabulary, Vocabulary):
        return vocabulary.sha256
    lines = "".join(f"{word}\n" for word in vocabulary)
    return hashlib.sha256(lines.encode(errors="surrogatepass")).hexdigest()
