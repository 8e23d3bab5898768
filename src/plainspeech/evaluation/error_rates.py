"""Word and character error rates, always of a whole corpus.

An error rate is errors over reference length, both summed over the corpus. The mean of the rates
of single utterances is another number: it gives a word of a short utterance more weight than a
word of a long one, and nothing that is published can be compared with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Literal

import jiwer

Operation = Literal["hit", "substitution", "deletion", "insertion"]


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
        """Errors over reference length; it passes 1 where much is inserted.

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
        words: in words, which white space parts.
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
    said, heard = pair.reference.split(), pair.hypothesis.split()
    steps = []
    for chunk in _alignments([pair], "words")[0]:
        left = said[chunk.ref_start_idx : chunk.ref_end_idx]
        right = heard[chunk.hyp_start_idx : chunk.hyp_end_idx]
        # One of the two is empty in a deletion or an insertion, else they are equally long.
        left, right = left or [""] * len(right), right or [""] * len(left)
        operation = _OPERATIONS[chunk.type]
        steps += [Step(operation, word, other) for word, other in zip(left, right, strict=True)]
    return steps


_OPERATIONS: dict[str, Operation] = {
    "equal": "hit",
    "substitute": "substitution",
    "delete": "deletion",
    "insert": "insertion",
}


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
