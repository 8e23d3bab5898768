"""The Viterbi search of an alignment: forward over frames, and back along the best path.

Places are between the symbols of the text: place ``p`` is after the first ``p``. Three states each:
``BLANK``, in which a frame is blank, or at the edge of a word a space; ``SYMBOL``, in which it is
the last symbol; and at the edge of a word ``UNMATCHED``, in which it is speech that the text does
not have.
A word that is not spoken is passed over between two frames.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from plainspeech.decoding.kernels.jit import inlined, kernel
from plainspeech.decoding.kernels.records import Doubles, Floats, Ints

Longs = npt.NDArray[np.int64]
Moves = npt.NDArray[np.uint8]

BLANK, SYMBOL, UNMATCHED = 0, 1, 2
ANYTHING = -1
"""In place of a symbol: whatever is spoken, for words that the alphabet cannot write."""
WITHIN, FIRST = -2, -1
"""In place of the edge before: the place is within a word, or the first."""

# A move is a byte: where BLANK came from (bit 0), SYMBOL (bits 1 and 2), UNMATCHED (bits 3 and 4),
# and whether BLANK was entered from another state of the same frame (bits 5 and 6).
_STAYED, _FROM_BLANK, _FROM_SYMBOL = 0, 1, 2
_CONSUMED, _AFTER_UNMATCHED, _PASSED_OVER, _PASSED_OVER_AFTER_SYMBOL = 0, 1, 2, 3


class Graph(NamedTuple):
    """A text, as the search sees it.

    Attributes:
        symbols: ``(places - 1,)`` ids, or `ANYTHING`.
        edge_before: ``(places,)``, the edge of a word before each edge; else `WITHIN` or `FIRST`.
        skip_costs: ``(places,)`` nats, for passing over the word before an edge.
        unmatched_entry: nats, for the first frame of speech that the text does not have.
        unmatched_frame: nats below its best symbol, for each frame of it, and of `ANYTHING`.
        blank: id.
        space: id, negative if there is none.
    """

    symbols: Ints
    edge_before: Ints
    skip_costs: Doubles
    unmatched_entry: float
    unmatched_frame: float
    blank: int
    space: int


class PathScores(NamedTuple):
    """Of the best path to each state, ``(places,)`` nats each."""

    blank: Doubles
    symbol: Doubles
    unmatched: Doubles


class Path(NamedTuple):
    """The best path, ``(places,)`` each.

    Attributes:
        starts: the first frame of the symbol before a place; -1 where it is not on the path.
        ends: the frame after its last.
        sums: its log-probabilities in between.
        unmatched_starts: the first frame of speech that the text does not have; -1 where there is
            none.
        unmatched_ends: the frame after its last.
    """

    starts: Ints
    ends: Ints
    sums: Doubles
    unmatched_starts: Ints
    unmatched_ends: Ints


@kernel
def begin(graph: Graph, scores: PathScores) -> None:
    """Set ``scores`` to those before the first frame."""
    for place in range(len(scores.blank)):
        scores.blank[place] = scores.symbol[place] = scores.unmatched[place] = -math.inf
        if graph.edge_before[place] == FIRST:
            scores.blank[place] = 0.0
        elif graph.edge_before[place] >= 0:
            before = scores.blank[graph.edge_before[place]]
            scores.blank[place] = before - graph.skip_costs[place]


@kernel
def forward(rows: Floats, graph: Graph, scores: PathScores, moves: Moves) -> None:
    """Take ``rows``, ``(frames, symbols)`` log-probabilities.

    Args:
        rows: the next frames.
        graph: the text.
        scores: of the frames so far; they become those of these frames too.
        moves: ``(frames, places)``, which say how each state was reached; not written if it has
            no frames.
    """
    for frame in range(len(rows)):
        row = rows[frame]
        best = _highest(row)
        for place in range(len(scores.blank) - 1, -1, -1):
            move = _consume(place, row, best, graph, scores)
            if len(moves):
                moves[frame, place] = move
        for place in range(len(scores.blank)):
            if graph.edge_before[place] != WITHIN:
                entered = _enter_blank(place, graph, scores)
                if len(moves):
                    moves[frame, place] += 32 * entered


@inlined
def _highest(row: Floats) -> float:
    best = -math.inf
    for symbol in range(len(row)):
        best = max(best, row[symbol])
    return best


@inlined
def _consume(place: int, row: Floats, best: float, graph: Graph, scores: PathScores) -> int:
    """Let the states of ``place`` take one frame; those before it must not have taken it yet."""
    in_blank, in_symbol = scores.blank[place], scores.symbol[place]
    unmatched = scores.unmatched[place]
    blank = row[graph.blank]
    move = 0
    if place > 0:
        symbol = graph.symbols[place - 1]
        emitted = best - graph.unmatched_frame if symbol == ANYTHING else row[symbol]
        best_symbol, source = in_symbol, _STAYED
        if scores.blank[place - 1] > best_symbol:
            best_symbol, source = scores.blank[place - 1], _FROM_BLANK
        repeats = place > 1 and symbol == graph.symbols[place - 2]
        if not repeats and scores.symbol[place - 1] > best_symbol:
            best_symbol, source = scores.symbol[place - 1], _FROM_SYMBOL
        scores.symbol[place] = best_symbol + emitted
        move += 2 * source
    best_blank = in_blank
    if in_symbol > in_blank:
        best_blank = in_symbol
        move += 1
    if graph.edge_before[place] != WITHIN:
        if graph.space >= 0:
            blank = max(blank, row[graph.space])
        source = _STAYED
        if best_blank - graph.unmatched_entry > unmatched:
            unmatched = best_blank - graph.unmatched_entry
            source = _FROM_SYMBOL if in_symbol > in_blank else _FROM_BLANK
        scores.unmatched[place] = unmatched + (best - graph.unmatched_frame)
        move += 8 * source
    scores.blank[place] = best_blank + blank
    return move


@inlined
def _enter_blank(place: int, graph: Graph, scores: PathScores) -> int:
    """Let BLANK of an edge be entered from other states of the same frame; return from which."""
    entered = _CONSUMED
    if scores.unmatched[place] > scores.blank[place]:
        scores.blank[place] = scores.unmatched[place]
        entered = _AFTER_UNMATCHED
    before = graph.edge_before[place]
    if before >= 0:
        # Without a space that symbol ends a word, and a repeat of it needs a blank.
        after_symbol = graph.space >= 0 and scores.symbol[before] > scores.blank[before]
        source = scores.symbol[before] if after_symbol else scores.blank[before]
        if source - graph.skip_costs[place] > scores.blank[place]:
            scores.blank[place] = source - graph.skip_costs[place]
            entered = _PASSED_OVER_AFTER_SYMBOL if after_symbol else _PASSED_OVER
    return entered


@kernel
def backward(
    rows: Floats, first: int, graph: Graph, moves: Moves, state: Longs, path: Path
) -> None:
    """Follow ``moves`` back from ``state``, place and kind, to the state before ``rows``.

    Args:
        rows: those that `forward` took with ``moves``.
        first: the number of the first of them.
        graph: the text.
        moves: from `forward`.
        state: after the last frame; becomes that before the first.
        path: is filled in.
    """
    place, kind = state[0], state[1]
    frame = len(rows) - 1
    while frame >= 0:
        move = moves[frame, place]
        if kind == BLANK:
            entered = move // 32
            if entered >= _PASSED_OVER:
                place = graph.edge_before[place]
                kind = BLANK if entered == _PASSED_OVER else SYMBOL
                continue
            if entered == _AFTER_UNMATCHED:
                kind = UNMATCHED
                continue
            kind = SYMBOL if move % 2 else BLANK
        elif kind == SYMBOL:
            _note(path.starts, path.ends, place, first + frame)
            symbol = graph.symbols[place - 1]
            path.sums[place] += rows[frame, symbol] if symbol != ANYTHING else 0.0
            source = move // 2 % 4
            if source != _STAYED:
                place -= 1
                kind = BLANK if source == _FROM_BLANK else SYMBOL
        else:
            _note(path.unmatched_starts, path.unmatched_ends, place, first + frame)
            source = move // 8 % 4
            if source != _STAYED:
                kind = BLANK if source == _FROM_BLANK else SYMBOL
        frame -= 1
    state[0], state[1] = place, kind


@inlined
def _note(starts: Ints, ends: Ints, place: int, frame: int) -> None:
    """Extend the frames of ``place`` back to ``frame``."""
    if ends[place] < 0:
        ends[place] = frame + 1
    starts[place] = frame
