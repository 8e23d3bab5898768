"""Two systems on the same utterances: is one better, or is it chance?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plainspeech.errors import DataError
from plainspeech.evaluation.error_rates import (
    ErrorCounts,
    Interval,
    Pair,
    align_words,
    difference_interval,
    word_counts,
)

_BETWEEN = 2  # words that both have right, which part two segments: as NIST's sc_stats has it
_RESAMPLES = 2_000


@dataclass(frozen=True)
class MatchedPairs:
    """The matched-pairs test of sentence segments, in word errors (MAPSSWE).

    Attributes:
        segments: how many.
        mean: errors of the first system less those of the second in a segment.
        deviation: standard deviation of that.
    """

    segments: int
    mean: float
    deviation: float

    @property
    def z(self) -> float:
        """The test statistic, normal with unit variance where neither system is better.

        Zero where the systems differ by as much in every segment: there is no deviation then.
        """
        if not self.deviation:
            return 0.0
        return self.mean / (self.deviation / math.sqrt(self.segments))

    @property
    def p(self) -> float:
        """Probability of so large a difference, in either direction, by chance.

        Without a deviation it is the probability that as many segments all favour one system, each
        of which could as well favour the other.
        """
        if self.mean and not self.deviation:
            return 2.0 ** (1 - self.segments)
        return math.erfc(abs(self.z) / math.sqrt(2))


@dataclass(frozen=True)
class Comparison:
    """A second system beside a first.

    Attributes:
        difference: word error rate of the second less that of the first, a fraction.
        interval: of the difference, by the paired bootstrap.
        improvement: share of the resamples in which the second has fewer errors than the first
            (probability of improvement; Bisani and Ney, ICASSP 2004); equal ones count half.
        matched_pairs: the test of segments.
        better: places of the utterances in which the second has fewer errors, the largest
            difference first.
        worse: of those in which it has more, likewise.
    """

    difference: float
    interval: Interval
    improvement: float
    matched_pairs: MatchedPairs
    better: tuple[int, ...]
    worse: tuple[int, ...]


def compare(first: Sequence[Pair], second: Sequence[Pair]) -> Comparison:
    """Return the comparison of two systems.

    Args:
        first: what the first recognised.
        second: what the second recognised in the same utterances, in the same order.

    Raises:
        DataError: they are not the same utterances, or a reference differs.
    """
    if [(one.id, one.reference) for one in first] != [(one.id, one.reference) for one in second]:
        raise DataError("the two systems have other utterances or other references")
    before, after = word_counts(first), word_counts(second)
    changes = np.array(
        [new.errors - old.errors for old, new in zip(before, after, strict=True)], int
    )
    order = np.argsort(changes, kind="stable").tolist()
    total = sum(before, ErrorCounts())
    return Comparison(
        difference=float(changes.sum()) / max(1, total.reference_length),
        interval=difference_interval(before, after, _RESAMPLES),
        improvement=_improvement(changes),
        matched_pairs=matched_pairs(first, second),
        better=tuple(place for place in order if changes[place] < 0),
        worse=tuple(place for place in reversed(order) if changes[place] > 0),
    )


def matched_pairs(first: Sequence[Pair], second: Sequence[Pair]) -> MatchedPairs:
    """Return the matched-pairs test of two systems.

    A segment is a stretch between words that both systems have right, two or more in a row; the
    ends of an utterance part segments, too. Segments without an error of either do not count
    (L. Gillick and S. Cox, "Some statistical issues in the comparison of speech recognition
    algorithms", ICASSP 1989; NIST's sc_stats).

    Args:
        first: what the first system recognised.
        second: what the second recognised in the same utterances, in the same order.
    """
    found = [
        left - right
        for one, other in zip(first, second, strict=True)
        for left, right in _segments(one, other)
    ]
    if len(found) < 2:
        return MatchedPairs(len(found), float(sum(found)), 0.0)
    return MatchedPairs(len(found), float(np.mean(found)), float(np.std(found, ddof=1)))


def _segments(first: Pair, second: Pair) -> list[tuple[int, int]]:
    """Return the errors of both systems in each segment of an utterance."""
    errors = list(zip(_errors_by_place(first), _errors_by_place(second), strict=True))
    # Places are the gap before the first word, the first word, the gap after it, and so on.
    segments: list[list[int]] = [[0, 0]]
    right = 0  # words in a row that both have right, up to here
    for place, (left, other) in enumerate(errors):
        if left or other:
            if right >= _BETWEEN:
                segments.append([0, 0])
            right = 0
            segments[-1][0] += left
            segments[-1][1] += other
        elif place % 2:
            right += 1
    return [(left, other) for left, other in segments if left or other]


def _errors_by_place(pair: Pair) -> list[int]:
    """Return the errors in each gap and in each word of the reference, in turn."""
    errors = [0]
    for step in align_words(pair):
        if step.operation == "insertion":
            errors[-1] += 1
        else:
            errors += [int(step.operation != "hit"), 0]
    return errors


def _improvement(changes: npt.NDArray[np.int64]) -> float:
    if not len(changes):
        return 0.5
    draw = np.random.default_rng(0)
    sums = np.array(
        [changes[draw.integers(len(changes), size=len(changes))].sum() for _ in range(_RESAMPLES)]
    )
    return float((sums < 0).mean() + 0.5 * (sums == 0).mean())
