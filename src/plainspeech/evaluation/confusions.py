"""What is taken for what, in words and in characters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from plainspeech.evaluation.error_rates import Pair, Step, align_characters, align_words

T = TypeVar("T", str, tuple[str, str])

_MOST = 25  # of a kind


@dataclass(frozen=True)
class Confusions:
    """Errors by what they concern, the most frequent first.

    Attributes:
        substituted: what was said and what was recognised instead, with how often.
        deleted: what was said and left out.
        inserted: what was recognised and not said.
    """

    substituted: tuple[tuple[tuple[str, str], int], ...]
    deleted: tuple[tuple[str, int], ...]
    inserted: tuple[tuple[str, int], ...]


def word_confusions(pairs: Sequence[Pair]) -> Confusions:
    """Return the most frequent errors of each kind, in words."""
    return _counted([step for pair in pairs for step in align_words(pair)])


def character_confusions(pairs: Sequence[Pair]) -> Confusions:
    """Return the most frequent errors of each kind, in characters, the space among them."""
    return _counted([step for pair in pairs for step in align_characters(pair)])


def _counted(steps: Sequence[Step]) -> Confusions:
    substituted = Counter(
        (step.reference, step.hypothesis) for step in steps if step.operation == "substitution"
    )
    deleted = Counter(step.reference for step in steps if step.operation == "deletion")
    inserted = Counter(step.hypothesis for step in steps if step.operation == "insertion")
    return Confusions(_first(substituted), _first(deleted), _first(inserted))


def _first(counts: Counter[T]) -> tuple[tuple[T, int], ...]:
    # By name where they are equally frequent, so that a report is the same every time.
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MOST])
