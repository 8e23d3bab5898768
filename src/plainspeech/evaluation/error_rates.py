"""Word and character error rates, always of a whole corpus, and their confidence intervals.

An error rate is errors over reference length, both summed over the corpus. The mean of the rates
of single utterances is another number: it gives a word of a short utterance more weight than a
word of a long one, and it is not comparable with published figures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Literal

import jiwer
import numpy as np

Operation = Literal["hit", "substitution", "deletion", "insertion"]


_OPERATIONS: dict[str, Operation] = {
    "equal": "hit",
    "substitute": "substitution",
    "delete": "deletion",
    "insert": "insertion",
}
CONFIDENCE = 0.95
"""Of every interval that is reported."""

_SEED = 0  # of the draws: the same results give the same interval


@dataclass(frozen=True)
class Pair:
    """What was said and what was recognised.

    Attributes:
        id: of the utterance.
        speaker: who speaks; empty where unknown.
        reference: what was said.
        hypothesis: what was recognised.
    """

    id: str
    speaker: str
    reference: str
    hypothesis: str


@dataclass(frozen=True)
class ErrorCounts:
    """How a hypothesis differs from its reference, in words or in characters.

    Attributes:
        hits: recognised as they were said.
        substitutions: recognised as another.
        deletions: said and not recognised.
        insertions: recognised and not said.
    """

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def reference_length(self) -> int:
        """How many were said."""
        return self.hits + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        """The Levenshtein distance."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors over reference length; above 1 where many are inserted.

        Over an empty reference it is the number of insertions, so that it is always finite and
        zero exactly where nothing is wrong.
        """
        return self.errors / max(1, self.reference_length)

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        mine, others = astuple(self), astuple(other)
        return ErrorCounts(*(left + right for left, right in zip(mine, others, strict=True)))


@dataclass(frozen=True)
class ErrorRates:
    """ErrorCounts over a corpus; ``words.rate`` is its WER and ``characters.rate`` its CER.

    Attributes:
        words: in words, separated by white space.
        characters: in characters, of which the single space between two words is one.
    """

    words: ErrorCounts
    characters: ErrorCounts


@dataclass(frozen=True)
class Step:
    """One step of an alignment.

    Attributes:
        operation: what it counts as.
        reference: the word said; empty for an insertion.
        hypothesis: the word recognised; empty for a deletion.
    """

    operation: Operation
    reference: str
    hypothesis: str


def error_rates(pairs: Sequence[Pair]) -> ErrorRates:
    """Return the error rates of the whole of ``pairs``."""
    return ErrorRates(
        words=sum(word_counts(pairs), ErrorCounts()),
        characters=sum(character_counts(pairs), ErrorCounts()),
    )


def word_counts(pairs: Sequence[Pair]) -> list[ErrorCounts]:
    """Return the counts of each pair in words."""
    return [_counts(chunks) for chunks in _alignments(pairs, "words")]


def character_counts(pairs: Sequence[Pair]) -> list[ErrorCounts]:
    """Return the counts of each pair in characters, spaces between words included."""
    return [_counts(chunks) for chunks in _alignments(pairs, "characters")]


def align_words(pair: Pair) -> list[Step]:
    """Return the alignment of the words of ``pair``, one with the fewest errors."""
    return _steps(pair, "words", pair.reference.split(), pair.hypothesis.split())


def align_characters(pair: Pair) -> list[Step]:
    """Return the alignment of the characters of ``pair``, single spaces included."""
    said, recognised = (" ".join(text.split()) for text in (pair.reference, pair.hypothesis))
    return _steps(pair, "characters", list(said), list(recognised))


def _steps(
    pair: Pair, unit: Literal["words", "characters"], said: list[str], recognised: list[str]
) -> list[Step]:
    steps = []
    for chunk in _alignments([pair], unit)[0]:
        left = said[chunk.ref_start_idx : chunk.ref_end_idx]
        right = recognised[chunk.hyp_start_idx : chunk.hyp_end_idx]
        # One of the two is empty in a deletion or an insertion, else they are equally long.
        left, right = left or [""] * len(right), right or [""] * len(left)
        operation = _OPERATIONS[chunk.type]
        steps += [Step(operation, word, other) for word, other in zip(left, right, strict=True)]
    return steps


def _alignments(
    pairs: Sequence[Pair], unit: Literal["words", "characters"]
) -> list[list[jiwer.AlignmentChunk]]:
    """Return an alignment of each pair with the fewest errors, in runs of one operation."""
    process = jiwer.process_words if unit == "words" else jiwer.process_characters
    # jiwer would count double spaces as characters.
    references = [" ".join(pair.reference.split()) for pair in pairs]
    hypotheses = [" ".join(pair.hypothesis.split()) for pair in pairs]
    # It gives one alignment for no pair at all.
    return process(references, hypotheses).alignments[: len(pairs)]


def _counts(chunks: Sequence[jiwer.AlignmentChunk]) -> ErrorCounts:
    found: dict[Operation, int] = dict.fromkeys(_OPERATIONS.values(), 0)
    for chunk in chunks:
        found[_OPERATIONS[chunk.type]] += max(
            chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx
        )
    return ErrorCounts(found["hit"], found["substitution"], found["deletion"], found["insertion"])


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


@dataclass(frozen=True)
class Interval:
    """The ends of a confidence interval of an error rate, or of the difference of two."""

    low: float
    high: float


def rate_interval(counts: Sequence[ErrorCounts], resamples: int = 2_000) -> Interval:
    """Return the bootstrap percentile interval of the corpus-level error rate.

    A resample draws as many utterances as there are, with replacement, and divides its errors by
    its reference length (Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR
    performance evaluation", ICASSP 2004). Utterances are drawn rather than words, since the
    errors of an utterance come together. Whole speakers are not drawn: test sets have too few of
    them, so the interval speaks for other utterances of these speakers.

    Args:
        counts: of each utterance.
        resamples: how many; they are the same at each call.

    Returns:
        The middle `CONFIDENCE` of the resampled rates; zero width where no utterance is given.
    """
    return _interval(counts, [0] * len(counts), resamples)


def difference_interval(
    before: Sequence[ErrorCounts],
    after: Sequence[ErrorCounts],
    resamples: int = 2_000,
) -> Interval:
    """Return the interval of the corpus-level error rate of ``after`` less that of ``before``.

    Both are of the same utterances in the same order, and are drawn together, as `rate_interval`
    draws one: what is hard for both does not blur their difference.

    Args:
        before: of each utterance.
        after: of each utterance, by another decoder or model.
        resamples: how many.
    """
    return _interval(after, [count.errors for count in before], resamples)


def _interval(counts: Sequence[ErrorCounts], subtracted: Sequence[int], resamples: int) -> Interval:
    """Return the interval of the rate of ``counts`` with so many errors fewer an utterance."""
    if not counts:
        return Interval(0.0, 0.0)
    errors = np.array([count.errors for count in counts]) - np.array(subtracted)
    lengths = np.array([count.reference_length for count in counts])
    draw = np.random.default_rng(_SEED)
    rates = np.empty(resamples)
    # One resample at a time: all at once is 450 MB for the 28,539 utterances of train-clean-100.
    for index in range(resamples):
        drawn = draw.integers(len(counts), size=len(counts))
        rates[index] = errors[drawn].sum() / max(1, lengths[drawn].sum())
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(rates, [tail, 1 - tail])
    return Interval(float(low), float(high))
