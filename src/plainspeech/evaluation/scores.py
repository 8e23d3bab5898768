"""The error counts of each utterance of a corpus, and what follows from them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from plainspeech.evaluation.error_rates import (
    ErrorCounts,
    ErrorRates,
    Pair,
    character_counts,
    word_counts,
)


@dataclass(frozen=True)
class Scores:
    """Utterances and their errors.

    Attributes:
        pairs: the utterances.
        words: the counts of each, in words.
        characters: the counts of each, in characters.
    """

    pairs: tuple[Pair, ...]
    words: tuple[ErrorCounts, ...]
    characters: tuple[ErrorCounts, ...]

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> Scores:
        """Return the scores of ``pairs``."""
        return cls(tuple(pairs), tuple(word_counts(pairs)), tuple(character_counts(pairs)))

    @property
    def totals(self) -> ErrorRates:
        """The corpus-level rates."""
        return ErrorRates(sum(self.words, ErrorCounts()), sum(self.characters, ErrorCounts()))

    @property
    def sentences_wrong(self) -> int:
        """How many utterances have an error."""
        return sum(counts.errors > 0 for counts in self.words)

    def by_speaker(self) -> dict[str, Scores]:
        """Return the scores of each speaker, the one with the highest word error rate first."""
        places = defaultdict(list)
        for place, pair in enumerate(self.pairs):
            places[pair.speaker].append(place)
        parts = {speaker: self._part(chosen) for speaker, chosen in places.items()}
        worst_first = sorted(
            parts, key=lambda speaker: (-parts[speaker].totals.words.rate, speaker)
        )
        return {speaker: parts[speaker] for speaker in worst_first}

    def _part(self, places: Sequence[int]) -> Scores:
        return Scores(
            tuple(self.pairs[place] for place in places),
            tuple(self.words[place] for place in places),
            tuple(self.characters[place] for place in places),
        )
