"""Actual and predicted words beneath each other, errors marked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from plainspeech.evaluation.error_rates import Operation, Pair, Step, align_words

_LABELS = ("actual", "predicted", "")
_INDENT = 11  # columns, of the labels

# The letter is there for those who see no colour, in a file or on the screen.
_MARKS: dict[Operation, tuple[str, str]] = {
    "hit": ("", ""),
    "substitution": ("S", "yellow"),
    "deletion": ("D", "red"),
    "insertion": ("I", "cyan"),
}


def evenly_spaced(pairs: Sequence[Pair], number: int) -> list[Pair]:
    """Return ``number`` of ``pairs``, or all, evenly from first to last: neither best nor worst."""
    number = min(number, len(pairs))
    return [pairs[index * len(pairs) // number] for index in range(number)]


def listing(pair: Pair, width: int) -> Text:
    """Return reference and hypothesis word by word beneath each other.

    Beneath an error is its letter: S where another word was recognised, D where none was, I where
    none was said; asterisks hold the place of the word that is not there.

    Args:
        pair: the utterance.
        width: columns; longer sentences continue beneath.
    """
    steps = align_words(pair)
    errors = sum(step.operation != "hit" for step in steps)
    said = sum(step.operation != "insertion" for step in steps)
    text = Text.assemble((pair.id, "bold"), f": words {said}, errors {errors}")
    for part in _lines(steps, width - _INDENT):
        for place, label in enumerate(_LABELS):
            row = Text(f"\n{label:<{_INDENT}}")
            for step in part:
                cells = _cells(step)
                cell = set_cell_size(cells[place], max(map(cell_len, cells)) + 1)
                row.append(cell, style=_MARKS[step.operation][1])
            row.rstrip()
            text.append_text(row)
    return text


def _cells(step: Step) -> tuple[str, str, str]:
    """Return what stands in the three lines of ``step``."""
    said = step.reference or "*" * cell_len(step.hypothesis)
    heard = step.hypothesis or "*" * cell_len(step.reference)
    return said, heard, _MARKS[step.operation][0]


def _lines(steps: Sequence[Step], width: int) -> Iterator[list[Step]]:
    """Yield runs of steps that fit into ``width``, each with one word at least."""
    line: list[Step] = []
    used = 0
    for step in steps:
        needed = max(map(cell_len, _cells(step))) + 1
        if line and used + needed > width:
            yield line
            line, used = [], 0
        line.append(step)
        used += needed
    if line:
        yield line
