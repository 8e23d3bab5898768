"""The numbers of a report, as rows that a template shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from plainspeech.evaluation.error_rates import (
    ErrorCounts,
    Interval,
    Pair,
    Step,
    align_words,
    rate_interval,
)
from plainspeech.evaluation.reliability import (
    Reliability,
    discrimination,
    normalised_cross_entropy,
    reliability,
)
from plainspeech.report.systems import Result, System

_GROUPS = 5
_RESAMPLES = 500


@dataclass(frozen=True)
class Group:
    """Utterances that have something in common.

    Attributes:
        name: what.
        utterances: how many.
        counts: their errors in words.
        interval: of their word error rate.
    """

    name: str
    utterances: int
    counts: ErrorCounts
    interval: Interval


@dataclass(frozen=True)
class Breakdown:
    """The word error rate by one property of the utterances.

    Attributes:
        title: the property.
        groups: in order.
    """

    title: str
    groups: tuple[Group, ...]


def breakdowns(system: System) -> list[Breakdown]:
    """Return the word error rate by speaker and by each property that is known."""
    found = [Breakdown("Speaker", tuple(_by_speaker(system)))]
    properties: list[tuple[str, Callable[[Result], float | None], str]] = [
        ("Length, words", lambda result: len(result.pair.reference.split()), ".0f"),
        ("Speaking rate, words a second", lambda result: result.rate, ".1f"),
        ("Signal-to-noise ratio, dB, estimated", lambda result: result.signal_to_noise, ".0f"),
        ("Mean confidence of the words", lambda result: result.confidence, ".2f"),
    ]
    for title, value, form in properties:
        groups = tuple(_by_quantile(system, value, form))
        if groups:
            found.append(Breakdown(title, groups))
    return found


def _by_speaker(system: System) -> Iterator[Group]:
    for speaker, scores in system.scores.by_speaker().items():
        yield _group(speaker or "(unknown)", scores.words)


def _by_quantile(
    system: System, value: Callable[[Result], float | None], form: str
) -> Iterator[Group]:
    """Yield groups of about as many utterances, by rising value."""
    known = [
        (number, place)
        for place, result in enumerate(system.results)
        if (number := value(result)) is not None
    ]
    known.sort()
    for part in np.array_split(np.arange(len(known)), _GROUPS):
        if len(part):
            low, high = known[part[0]][0], known[part[-1]][0]
            name = f"{low:{form}} to {high:{form}}"
            yield _group(name, [system.scores.words[known[index][1]] for index in part])


def _group(name: str, counts: Sequence[ErrorCounts]) -> Group:
    total = sum(counts, ErrorCounts())
    return Group(name, len(counts), total, rate_interval(counts, _RESAMPLES))


def causes(system: System) -> list[tuple[str, int]]:
    """Return how many errors each part of the recogniser causes; empty where that is not known."""
    found: Counter[str] = Counter()
    for result in system.results:
        for one in result.explanations or ():
            found[one["cause"]] += one["errors"]
    return found.most_common()


@dataclass(frozen=True)
class Recall:
    """How many of the words that were said were recognised.

    Attributes:
        name: which words.
        said: how many.
        recognised: of them.
    """

    name: str
    said: int
    recognised: int


def vocabulary_recall(system: System) -> list[Recall]:
    """Return the recall within the lexicon and outside it; empty without a lexicon."""
    counts = {False: [0, 0], True: [0, 0]}
    for result in system.results:
        if result.unknown is None:
            return []
        unknown = set(result.unknown)
        for step in align_words(result.pair):
            if step.reference:
                counts[step.reference in unknown][0] += 1
                counts[step.reference in unknown][1] += step.operation == "hit"
    return [
        Recall("in the lexicon", *counts[False]),
        Recall("outside the lexicon", *counts[True]),
    ]


@dataclass(frozen=True)
class CalibrationTable:
    """How far confidences are probabilities.

    Attributes:
        bins: of words of like confidence.
        entropy: NIST's normalised cross entropy.
        discrimination: how often a right word has more confidence than a wrong one.
    """

    bins: Reliability
    entropy: float
    discrimination: float


def calibration(system: System) -> CalibrationTable | None:
    """Return the calibration of the confidences; None where they say nothing or are not known."""
    confidences, correct = [], []
    for result in system.results:
        hits = [step.operation == "hit" for step in align_words(result.pair) if step.hypothesis]
        if result.words is None or len(result.words) != len(hits):
            return None
        confidences += [word.confidence for word in result.words]
        correct += hits
    if not any(correct) or all(correct):
        return None
    sure, right = np.array(confidences), np.array(correct)
    return CalibrationTable(
        reliability(sure, right),
        normalised_cross_entropy(sure, right),
        discrimination(sure, right),
    )


def aligned(pair: Pair) -> list[Step]:
    """Return the steps of an utterance, neighbours that are right as one."""
    steps: list[Step] = []
    for step in align_words(pair):
        if step.operation == "hit" and steps and steps[-1].operation == "hit":
            joined = f"{steps[-1].reference} {step.reference}"
            steps[-1] = Step("hit", joined, joined)
        else:
            steps.append(step)
    return steps


def chosen(system: System, number: int) -> dict[str, list[int]]:
    """Return the places of the worst, the median and random utterances, ``number`` of each.

    The order is by word error rate, then by errors. None is there twice.
    """
    counts = system.scores.words
    order = sorted(
        range(len(counts)), key=lambda place: (-counts[place].rate, -counts[place].errors)
    )
    worst = order[:number]
    middle = max(0, len(order) // 2 - number // 2)
    median = [place for place in order[middle : middle + number] if place not in worst]
    left = [place for place in range(len(order)) if place not in {*worst, *median}]
    drawn = np.random.default_rng(0).permutation(len(left))[:number]
    return {
        "Worst": worst,
        "Median": median,
        "Random": sorted(left[index] for index in drawn.tolist()),
    }
