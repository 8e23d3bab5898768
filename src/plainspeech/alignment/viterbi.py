"""The best alignment of words with log-probabilities, exactly, in memory that has a bound.

CTC's Viterbi alignment (Kürzinger et al., SPECOM 2020) of the whole text, with two moves more at
the edges of words: frames may be speech that the text does not have, and words may be passed over
that are not spoken. Scores are kept every so many frames, and the moves of one such block at a
time are computed again on the way back, so that ``F`` frames and ``P`` places need about
``2 P sqrt(24 F)`` bytes instead of ``P F``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from plainspeech.alignment import kernels
from plainspeech.alignment.kernels import (
    ANYTHING,
    BLANK,
    FIRST,
    SYMBOL,
    WITHIN,
    Graph,
    Path,
    PathScores,
)
from plainspeech.alphabet import Alphabet
from plainspeech.arrays import Array

_STATE = 24  # bytes of the scores of a place
_SMALL = 1 << 22  # bytes of moves that need no blocks


@dataclass(frozen=True)
class Costs:
    """What it costs to disagree, in nats; tuned on half of the speakers of docs/alignment.md.

    Attributes:
        skip_word: for passing over a word.
        skip_symbol: besides, for each of its symbols.
        unmatched_entry: for the first frame of speech that the text does not have.
        unmatched_frame: below its best symbol, for each frame of it.
    """

    skip_word: float = 12.0
    skip_symbol: float = 2.5
    unmatched_entry: float = 8.0
    unmatched_frame: float = 0.5


class Rows(Protocol):
    """Log-probabilities, in memory or not."""

    def __len__(self) -> int:
        """Return the number of frames."""

    def __getitem__(self, frames: slice) -> Array:
        """Return those of ``frames``, ``(frames, symbols)``."""


@dataclass(frozen=True)
class WordPath:
    """Where a word is spoken.

    Attributes:
        start: its first frame.
        end: the frame after its last.
        log_probability: the mean over its symbols of those of their frames, nats; 0 for
            a word that the alphabet cannot write.
    """

    start: int
    end: int
    log_probability: float


@dataclass(frozen=True)
class Unmatched:
    """Speech that the text does not have.

    Attributes:
        word: the number of the word that follows it.
        start: its first frame.
        end: the frame after its last.
    """

    word: int
    start: int
    end: int


@dataclass(frozen=True)
class WordAlignment:
    """The best alignment.

    Attributes:
        words: None for each that is passed over.
        unmatched: in order.
        score: nats, of the best path; -inf where there is none.
    """

    words: list[WordPath | None]
    unmatched: list[Unmatched]
    score: float


def viterbi_alignment(
    rows: Rows, words: Sequence[Sequence[int]], alphabet: Alphabet, costs: Costs | None = None
) -> WordAlignment:
    """Align ``words`` with ``rows``.

    Where costs are infinite and there is no alignment, no word has a place.

    Args:
        rows: ``(frames, symbols)`` natural log-probabilities, the blank last.
        words: ids of each; none for a word that the alphabet cannot write, which is whatever is
            spoken in its place.
        alphabet: of the rows.
        costs: of disagreement.
    """
    graph, ends = _graph(words, alphabet, costs or Costs())
    path, score = _best_path(rows, graph)
    found = [
        _word(path, end - max(1, len(ids)), end) if score > -math.inf else None
        for ids, end in zip(words, ends, strict=True)
    ]
    edges = np.flatnonzero(graph.edge_before != WITHIN).tolist()
    unmatched = [
        Unmatched(number, int(path.unmatched_starts[place]), int(path.unmatched_ends[place]))
        for number, place in enumerate(edges)
        if path.unmatched_starts[place] >= 0
    ]
    return WordAlignment(found, unmatched, score)


def lattice_bytes(frames: int, places: int) -> int:
    """Return the most bytes that a search of so many frames and places needs at a time."""
    block = _block(frames, places)
    return places * (block + _STATE * (-(-frames // block) + 1))


def places_of(words: Sequence[Sequence[int]]) -> int:
    """Return how many places the graph of ``words`` has."""
    return 1 + sum(max(1, len(ids)) + 1 for ids in words)


def _block(frames: int, places: int) -> int:
    """Return after how many frames scores are kept."""
    return max(1, math.isqrt(_STATE * frames), min(frames, _SMALL // places))


def _graph(
    words: Sequence[Sequence[int]], alphabet: Alphabet, costs: Costs
) -> tuple[Graph, list[int]]:
    """Return the graph of ``words``, and the place after each."""
    space = alphabet.symbols.index(" ") if " " in alphabet.symbols else -1
    symbols: list[int] = []
    before, skips, ends = [FIRST], [0.0], []
    for number, ids in enumerate(words):
        edge = len(symbols)
        symbols += ids or [ANYTHING]
        ends.append(len(symbols))
        if space >= 0 and number + 1 < len(words):
            symbols.append(space)
        before += [WITHIN] * (len(symbols) - edge - 1) + [edge]
        cost = costs.skip_word + costs.skip_symbol * max(1, len(ids))
        skips += [0.0] * (len(symbols) - edge - 1) + [cost]
    graph = Graph(
        np.array(symbols, np.int32),
        np.array(before, np.int32),
        np.array(skips, np.float64),
        float(costs.unmatched_entry),
        float(costs.unmatched_frame),
        alphabet.blank_id,
        space,
    )
    return graph, ends


def _best_path(rows: Rows, graph: Graph) -> tuple[Path, float]:
    """Return the best path through ``graph`` and its score."""
    places, frames = len(graph.edge_before), len(rows)
    scores = PathScores(*np.full((3, places), -np.inf))
    kernels.begin(graph, scores)
    block = _block(frames, places)
    starts = range(0, frames, block)
    kept = []
    nothing = np.zeros((0, places), np.uint8)
    for start in starts:
        kept.append([values.copy() for values in scores])
        if start + block < frames:  # the last is computed below
            kernels.forward(_rows(rows, start, start + block), graph, scores, nothing)
    path = _empty_path(places)
    state = np.zeros(2, np.int64)
    moves = np.zeros((min(block, frames), places), np.uint8)
    score = float(scores.blank[-1])
    for start in reversed(starts):
        part = _rows(rows, start, min(start + block, frames))
        scores = PathScores(*kept.pop())
        kernels.forward(part, graph, scores, moves)
        if start + block >= frames:
            kind = SYMBOL if scores.symbol[-1] > scores.blank[-1] else BLANK
            state[:] = places - 1, kind
            score = float(max(scores.symbol[-1], scores.blank[-1]))
            if score == -math.inf:
                break
        kernels.backward(part, start, graph, moves, state, path)
    return path, score


def _rows(rows: Rows, start: int, end: int) -> Array:
    return np.require(rows[start:end], np.float32, ["C", "W", "A"])


def _empty_path(places: int) -> Path:
    starts, ends, unmatched_starts, unmatched_ends = np.full((4, places), -1, np.int32)
    return Path(starts, ends, np.zeros(places), unmatched_starts, unmatched_ends)


def _word(path: Path, first: int, last: int) -> WordPath | None:
    """Return where the word of the places from ``first`` (its edge) to ``last`` is spoken."""
    starts, ends = path.starts[first + 1 : last + 1], path.ends[first + 1 : last + 1]
    if starts[0] < 0:
        return None
    means = path.sums[first + 1 : last + 1] / (ends - starts)
    return WordPath(int(starts[0]), int(ends[-1]), float(means.mean()))
