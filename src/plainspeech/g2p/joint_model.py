"""Pronunciations of any words, by a model of letters and phones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from plainspeech.cores import available_cores, in_threads
from plainspeech.g2p.search import Inventory, gram, new_beam, new_candidates, search_each
from plainspeech.lm.tables import SPECIAL_WORDS, NGramTables

_WIDTH = 20
"""Hypotheses after each letter."""

_THRESHOLD = 6.0
"""Nats below the best at which hypotheses are dropped."""

_AT_ONCE = 250  # words for a thread

LONGEST = 200
"""Letters of a word that is converted; nobody says one of more."""

Unit = tuple[str, str]
"""Letters, and the characters of their phones."""


@dataclass(frozen=True)
class Spelling:
    """A pronunciation and its probability.

    Attributes:
        sound: a character a phone, see `plainspeech.pronunciations.Pronunciations`.
        score: ln p(letters, phones), the sum over all ways to cut them into units.
    """

    sound: str
    score: float


@dataclass(frozen=True)
class JointModel:
    """A joint-sequence n-gram model: which units of letters and phones follow which.

    M. Bisani and H. Ney, Joint-sequence models for grapheme-to-phoneme conversion, Speech
    Communication 50 (5), 2008.

    Attributes:
        units: of the model; their ids are their places after the special words.
        tables: n-grams of units.
    """

    units: Sequence[Unit]
    tables: NGramTables

    def pronounce(self, words: Sequence[str], most: int, share: float) -> list[tuple[str, ...]]:
        """Return the pronunciations of each of ``words``, the most probable first.

        Args:
            words: of any letters; one with a letter that the model does not know has none.
            most: pronunciations of a word.
            share: those that are less probable than so many times the best are left out.
        """
        least = math.log(share) if share else -math.inf
        parts = [words[start : start + _AT_ONCE] for start in range(0, len(words), _AT_ONCE)]
        found = in_threads(lambda part: self.n_best(part, most), parts, available_cores())
        return [
            tuple(each.sound for each in best if each.score >= best[0].score + least)
            for part in found
            for best in part
        ]

    def n_best(
        self,
        words: Sequence[str],
        most: int,
        width: int = _WIDTH,
        threshold: float = _THRESHOLD,
    ) -> list[list[Spelling]]:
        """Return the most probable pronunciations of each of ``words``, the best first.

        Args:
            words: see `pronounce`.
            most: pronunciations of a word.
            width: most hypotheses after each letter.
            threshold: nats below the best at which hypotheses are dropped.
        """
        spelled = [self._spelled(word) for word in words]
        starts = np.cumsum([0, *map(len, spelled)], dtype=np.int32)
        longest = max(map(len, spelled), default=0)
        phones = np.empty((len(words), most, 2 * longest), np.int32)
        lengths, scores = np.zeros((len(words), most), np.int32), np.empty((len(words), most))
        search_each(
            np.array([letter for ids in spelled for letter in ids], np.int32),
            starts,
            self._inventory,
            self.tables,
            threshold,
            new_beam(longest, width),
            new_candidates(2 * width * self._widest),
            phones,
            lengths,
            scores,
        )
        return [
            [
                Spelling("".join(map(chr, phones[word, place, :length].tolist())), score)
                for place, (length, score) in enumerate(zip(*found, strict=True))
                if length
            ]
            for word, found in enumerate(zip(lengths.tolist(), scores.tolist(), strict=True))
        ]

    def _spelled(self, word: str) -> list[int]:
        """Return the ids of letters; of none if one is not known, or if there are too many."""
        ids = [self._letters.get(letter, -1) for letter in word]
        return ids if len(ids) <= LONGEST and min(ids, default=0) >= 0 else []

    @cached_property
    def _letters(self) -> dict[str, int]:
        """Ids of the letters that can be said by themselves."""
        known = sorted({letters for letters, sound in self.units if len(letters) == 1 and sound})
        return {letter: index for index, letter in enumerate(known)}

    @cached_property
    def _inventory(self) -> Inventory:
        ids = self._letters
        keyed = sorted(
            (gram(ids[letters[0]], ids[letters[1]] if len(letters) == 2 else -1), place)
            for place, (letters, _) in enumerate(self.units)
            if ids.keys() >= set(letters)
        )
        keys = np.array([key for key, _ in keyed], np.int64)
        grams, starts = np.unique(keys, return_index=True)
        phones = [[*map(ord, self.units[place][1]), -1, -1][:2] for _, place in keyed]
        return Inventory(
            grams,
            np.append(starts, len(keyed)).astype(np.int32),
            np.array([place + len(SPECIAL_WORDS) for _, place in keyed], np.int32),
            np.array(phones, np.int32),
        )

    @cached_property
    def _widest(self) -> int:
        """The number of units of the letters that have most."""
        return int(np.diff(self._inventory.starts).max())
