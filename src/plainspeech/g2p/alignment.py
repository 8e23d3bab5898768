"""Letters of words aligned with the phones of their pronunciations.

A word and a pronunciation are cut into the same number of *units* (graphones), each some letters
with some phones: one letter with none, one or two phones, or two letters with one phone. How
probable each unit is is not known; expectation maximisation (A. P. Dempster et al., JRSS B 39 (1),
1977) finds it from all ways to cut all pairs (M. Bisani and H. Ney, Joint-sequence models for
grapheme-to-phoneme conversion, Speech Communication 50 (5), 2008).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from plainspeech.compiling.lazy import compiled

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

LONGEST = 64
"""Letters, or phones, of a pair that is learned from."""

SILENT, PLAIN, SPLIT, JOINED = range(4)
"""Kinds of units: a letter without a phone, with one, with two; two letters with one phone."""

_LETTERS, _PHONES = (1, 1, 1, 2), (0, 1, 2, 1)  # of each kind

_START = (0.1, 0.7, 0.1, 0.1)
"""Probability of each kind to begin with: what is found depends on it, and most letters are one
phone."""

_ITERATIONS = 12
_LEAST = 1e-5
"""Least probability of a unit; below are the errors and oddities of a lexicon."""

_POSSIBLE = 1e-12  # at least, as a part of what the first iteration finds
_SCALE = 1e3  # a letter, so that products over a long word are numbers that a double holds


class _Sequences(NamedTuple):
    """Strings as numbers, one after the other.

    Attributes:
        starts: ``(strings + 1,)``, where each begins.
        single: ``(characters,)``, the place of each in ``characters``.
        double: ``(characters,)``, the place of each and the next in ``pairs``; that of the last of
            a string means nothing.
        characters: all there are.
        pairs: all there are of two neighbours.
    """

    starts: Ints
    single: Ints
    double: Ints
    characters: Sequence[str]
    pairs: Sequence[str]


class Numbers(NamedTuple):
    """Words and their pronunciations, for compiled code.

    Attributes:
        letter_starts: ``starts``, ``single`` and ``double`` of the words, see `_Sequences`.
        letters: likewise.
        letter_pairs: likewise.
        phone_starts: those of the pronunciations.
        phones: likewise.
        phone_pairs: likewise.
        offsets: see `Pairs.offsets`.
        widths: how many there are of no phone, of phones and of pairs of them.
    """

    letter_starts: Ints
    letters: Ints
    letter_pairs: Ints
    phone_starts: Ints
    phones: Ints
    phone_pairs: Ints
    offsets: Ints
    widths: Ints


@dataclass(frozen=True)
class Pairs:
    """Words and their pronunciations.

    Attributes:
        letters: of the words.
        phones: of the pronunciations.
    """

    letters: _Sequences
    phones: _Sequences

    @classmethod
    def of(cls, pairs: Sequence[tuple[str, str]]) -> Pairs:
        """Return ``pairs`` of words and pronunciations, none of them empty."""
        words, sounds = zip(*pairs, strict=True)
        return cls(_numbered(words), _numbered(sounds))

    @cached_property
    def offsets(self) -> Ints:
        """Ids of the first unit of each kind, and the number of units there could be."""
        sizes = [
            len(letters) * len(phones)
            for letters, phones in (
                (self.letters.characters, ("",)),
                (self.letters.characters, self.phones.characters),
                (self.letters.characters, self.phones.pairs),
                (self.letters.pairs, self.phones.characters),
            )
        ]
        return np.cumsum([0, *sizes])

    def unit(self, index: int) -> tuple[str, str]:
        """Return the letters and the phones of a unit."""
        offsets = self.offsets
        kind = int(np.searchsorted(offsets, index, side="right")) - 1
        phones = (("",), self.phones.characters, self.phones.pairs, self.phones.characters)[kind]
        letters = self.letters.pairs if kind == JOINED else self.letters.characters
        place, phone = divmod(index - int(offsets[kind]), len(phones))
        return letters[place], phones[phone]

    @property
    def numbers(self) -> Numbers:
        """What compiled code takes of these."""
        return Numbers(
            *(self.letters.starts, self.letters.single, self.letters.double),
            *(self.phones.starts, self.phones.single, self.phones.double),
            self.offsets,
            np.array([1, len(self.phones.characters), len(self.phones.pairs)], np.int64),
        )


def _numbered(strings: Sequence[str]) -> _Sequences:
    text = "".join(strings)
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    known, single = np.unique(points, return_inverse=True)
    following = np.append(single[1:], 0)
    both, double = np.unique(single * len(known) + following, return_inverse=True)
    characters = [chr(point) for point in known.tolist()]
    neighbours = (divmod(pair, len(known)) for pair in both.tolist())
    pairs = [characters[first] + characters[second] for first, second in neighbours]
    starts = np.cumsum([0, *map(len, strings)])
    return _Sequences(starts, single.astype(np.int64), double.astype(np.int64), characters, pairs)


@dataclass(frozen=True)
class Alignment:
    """The most probable way to cut each pair.

    Attributes:
        units: ids, see `Pairs.unit`, those of one pair after those of the other.
        starts: ``(pairs + 1,)``, where those of each begin; none of a pair that cannot be cut.
        sounding: for each letter the most probable unit of it alone that has a phone, if it has
            one, whether it is in ``units`` or not.
    """

    units: Ints
    starts: Ints
    sounding: Ints


def align(pairs: Pairs) -> Alignment:
    """Find the probabilities of units, and by these the most probable cut of each pair.

    Units that are hardly ever probable are left out, and pairs that cannot be cut without them.
    """
    probabilities = learn(pairs)
    sounding = _sounding(pairs, probabilities)
    kept = probabilities >= _LEAST
    kept[sounding] = True
    units = np.empty(len(pairs.letters.single), np.int64)
    starts = np.zeros(len(pairs.letters.starts), np.int64)
    _cut(pairs.numbers, np.where(kept, probabilities, 0.0), units, starts)
    return Alignment(units[: starts[-1]], starts, sounding)


def learn(pairs: Pairs) -> Doubles:
    """Return the probabilities of all units."""
    sizes = np.diff(pairs.offsets)
    start = np.repeat(np.array(_START) / np.maximum(sizes, 1), sizes)
    probabilities = first = _normalised(expected_counts(pairs, start)[0])
    for _ in range(_ITERATIONS - 1):
        probabilities = _normalised(expected_counts(pairs, probabilities)[0])
    return np.maximum(probabilities, _POSSIBLE * first)


def _normalised(counts: Doubles) -> Doubles:
    total = counts.sum()
    return counts / total if total else counts


def _sounding(pairs: Pairs, probabilities: Doubles) -> Ints:
    """Return `Alignment.sounding`."""
    offsets, rows = pairs.offsets, len(pairs.letters.characters)
    best: list[tuple[Doubles, Ints]] = []
    for kind in (PLAIN, SPLIT):
        part = probabilities[offsets[kind] : offsets[kind + 1]].reshape(rows, -1)
        if part.shape[1]:
            ids = offsets[kind] + np.arange(rows) * part.shape[1] + part.argmax(axis=1)
            best.append((part.max(axis=1), ids))
    values, ids = (np.array(each) for each in zip(*best, strict=True))
    kind = values.argmax(axis=0)
    places = np.arange(rows)
    found: Ints = ids[kind, places][values[kind, places] > 0]
    return found


def expected_counts(pairs: Pairs, probabilities: Doubles) -> tuple[Doubles, float]:
    """Return how often each unit is expected in all pairs, and their log-likelihood, nats.

    The likelihood of a pair is the sum over all ways to cut it of the product of the probabilities
    of the units. Pairs that cannot be cut count for nothing.
    """
    counts = np.zeros(len(probabilities))
    return counts, float(_expect(pairs.numbers, probabilities, counts))


@compiled()
def _id(numbers: Numbers, kind: int, letter: int, phone: int) -> int:
    """Return the id of the unit of this kind that begins at these places of all."""
    offset = numbers.offsets[kind]
    if kind == SILENT:
        return int(offset + numbers.letters[letter])
    if kind == SPLIT:
        return int(
            offset + numbers.letters[letter] * numbers.widths[2] + numbers.phone_pairs[phone]
        )
    if kind == PLAIN:
        return int(offset + numbers.letters[letter] * numbers.widths[1] + numbers.phones[phone])
    return int(offset + numbers.letter_pairs[letter] * numbers.widths[1] + numbers.phones[phone])


@compiled()
def _expect(
    numbers: Numbers,
    probabilities: Doubles,
    counts: Doubles,
) -> float:
    """Add to ``counts`` what `expected_counts` returns; return the log-likelihood."""
    forward = np.zeros((LONGEST + 1, LONGEST + 1))
    backward = np.zeros((LONGEST + 1, LONGEST + 1))
    total = 0.0
    for pair in range(len(numbers.letter_starts) - 1):
        first, sound = numbers.letter_starts[pair], numbers.phone_starts[pair]
        rows = numbers.letter_starts[pair + 1] - first
        columns = numbers.phone_starts[pair + 1] - sound
        if rows > LONGEST or columns > min(LONGEST, 2 * rows):
            continue
        forward[: rows + 1, : columns + 1] = 0.0
        backward[: rows + 1, : columns + 1] = 0.0
        forward[0, 0] = backward[rows, columns] = 1.0
        for i in range(rows):
            for j in range(columns + 1):
                if forward[i, j] == 0.0:
                    continue
                for kind in range(4):
                    k, m = i + _LETTERS[kind], j + _PHONES[kind]
                    if k <= rows and m <= columns:
                        unit = _id(numbers, kind, first + i, sound + j)
                        scale = _SCALE ** _LETTERS[kind]
                        forward[k, m] += forward[i, j] * probabilities[unit] * scale
        likelihood = forward[rows, columns]
        if likelihood == 0.0:
            continue
        total += np.log(likelihood) - rows * np.log(_SCALE)
        for i in range(rows - 1, -1, -1):
            for j in range(columns, -1, -1):
                if forward[i, j] == 0.0:
                    continue
                for kind in range(4):
                    k, m = i + _LETTERS[kind], j + _PHONES[kind]
                    if k <= rows and m <= columns and backward[k, m] > 0.0:
                        unit = _id(numbers, kind, first + i, sound + j)
                        part = probabilities[unit] * _SCALE ** _LETTERS[kind] * backward[k, m]
                        backward[i, j] += part
                        counts[unit] += forward[i, j] * part / likelihood
    return total


@compiled()
def _cut(
    numbers: Numbers,
    probabilities: Doubles,
    units: Ints,
    starts: Ints,
) -> None:
    """Write the most probable cut of each pair into ``units`` and ``starts``."""
    best = np.zeros((LONGEST + 1, LONGEST + 1))
    kinds = np.zeros((LONGEST + 1, LONGEST + 1), np.int64)
    used = 0
    for pair in range(len(numbers.letter_starts) - 1):
        first, sound = numbers.letter_starts[pair], numbers.phone_starts[pair]
        rows = numbers.letter_starts[pair + 1] - first
        columns = numbers.phone_starts[pair + 1] - sound
        starts[pair] = used
        if rows > LONGEST or columns > min(LONGEST, 2 * rows):
            continue
        best[: rows + 1, : columns + 1] = 0.0
        best[0, 0] = 1.0
        for i in range(rows):
            for j in range(columns + 1):
                if best[i, j] == 0.0:
                    continue
                for kind in range(4):
                    k, m = i + _LETTERS[kind], j + _PHONES[kind]
                    if k <= rows and m <= columns:
                        unit = _id(numbers, kind, first + i, sound + j)
                        score = best[i, j] * probabilities[unit] * _SCALE ** _LETTERS[kind]
                        if score > best[k, m]:
                            best[k, m], kinds[k, m] = score, kind
        if best[rows, columns] == 0.0:
            continue
        i, j = rows, columns
        while i > 0:
            kind = kinds[i, j]
            i, j = i - _LETTERS[kind], j - _PHONES[kind]
            units[used] = _id(numbers, kind, first + i, sound + j)
            used += 1
        units[starts[pair] : used] = units[starts[pair] : used][::-1].copy()
    starts[-1] = used
