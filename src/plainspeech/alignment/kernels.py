"""The Viterbi search of an alignment: forward over frames, and back along the best path.

Places are between the symbols of the text: place ``p`` is after the first ``p``. Three states each:
``REST``, in which a frame is blank, or at the edge of a word a space; ``WRITE``, in which it is the
last symbol; and at the edge of a word ``WILD``, in which it is speech that the text does not have.
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

REST, WRITE, WILD = 0, 1, 2
ANYTHING = -1
"""In place of a symbol: whatever is spoken, for words that the alphabet cannot write."""
WITHIN, FIRST = -2, -1
"""In place of the edge before: the place is within a word, or the first."""

# A move is a byte: where REST came from (bit 0), WRITE (bits 1 and 2), WILD (bits 3 and 4), and
# whether REST was entered from another state of the same frame (bits 5 and 6).
_STAYED, _FROM_REST, _FROM_WRITE = 0, 1, 2
_CONSUMED, _AFTER_WILD, _PASSED_OVER = 0, 1, 2


class Graph(NamedTuple):
    """A text, as the search sees it.

    Attributes:
        symbols: ``(places - 1,)`` ids, or `ANYTHING`.
        edge_before: ``(places,)``, the edge of a word before each edge; else `WITHIN` or `FIRST`.
        skip_costs: ``(places,)`` nats, for passing over the word before an edge.
        wild_entry: nats, for the first frame of speech that the text does not have.
        wild_frame: nats below its best symbol, for each frame of it, and of `ANYTHING`.
        blank: id.
        space: id, negative if there is none.
    """

    symbols: Ints
    edge_before: Ints
    skip_costs: Doubles
    wild_entry: float
    wild_frame: float
    blank: int
    space: int


class Scores(NamedTuple):
    """Of the best path to each state, ``(places,)`` nats each."""

    rest: Doubles
    write: Doubles
    wild: Doubles


class Path(NamedTuple):
    """The best path, ``(places,)`` each.

    Attributes:
        starts: the first frame of the symbol before a place; -1 where it is not on the path.
        ends: the frame after its last.
        sums: its log-probabilities in between.
        wild_starts: the first frame of speech that the text does not have; -1 where there is none.
        wild_ends: the frame after its last.
    """

    starts: Ints
    ends: Ints
    sums: Doubles
    wild_starts: Ints
    wild_ends: Ints


@kernel
def begin(graph: Graph, scores: Scores) -> None:
    """Set ``scores`` to those before the first frame."""
    for place in range(len(scores.rest)):
        scores.rest[place] = scores.write[place] = scores.wild[place] = -math.inf
        if graph.edge_before[place] == FIRST:
            scores.rest[place] = 0.0
        elif graph.edge_before[place] >= 0:
            before = scores.rest[graph.edge_before[place]]
            scores.rest[place] = before - graph.skip_costs[place]


@kernel
def forward(rows: Floats, graph: Graph, scores: Scores, moves: Moves) -> None:
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
        for place in range(len(scores.rest) - 1, -1, -1):
            move = _consume(place, row, best, graph, scores)
            if len(moves):
                moves[frame, place] = move
        for place in range(len(scores.rest)):
            if graph.edge_before[place] != WITHIN:
                entered = _enter_rest(place, graph, scores)
                if len(moves):
                    moves[frame, place] += 32 * entered


@inlined
def _highest(row: Floats) -> float:
    best = -math.inf
    for symbol in range(len(row)):
        best = max(best, row[symbol])
    return best


@inlined
def _consume(place: int, row: Floats, best: float, graph: Graph, scores: Scores) -> int:
    """Let the states of ``place`` take one frame; those before it must not have taken it yet."""
    rest, write, wild = scores.rest[place], scores.write[place], scores.wild[place]
    blank = row[graph.blank]
    move = 0
    if place > 0:
        symbol = graph.symbols[place - 1]
        emitted = best - graph.wild_frame if symbol == ANYTHING else row[symbol]
        written, source = write, _STAYED
        if scores.rest[place - 1] > written:
            written, source = scores.rest[place - 1], _FROM_REST
        repeats = place > 1 and symbol == graph.symbols[place - 2]
        if not repeats and scores.write[place - 1] > written:
            written, source = scores.write[place - 1], _FROM_WRITE
        scores.write[place] = written + emitted
        move += 2 * source
    rested = rest
    if write > rest:
        rested = write
        move += 1
    if graph.edge_before[place] != WITHIN:
        if graph.space >= 0:
            blank = max(blank, row[graph.space])
        source = _STAYED
        if rested - graph.wild_entry > wild:
            wild = rested - graph.wild_entry
            source = _FROM_WRITE if write > rest else _FROM_REST
        scores.wild[place] = wild + (best - graph.wild_frame)
        move += 8 * source
    scores.rest[place] = rested + blank
    return move


@inlined
def _enter_rest(place: int, graph: Graph, scores: Scores) -> int:
    """Let REST of an edge be entered from other states of the same frame; return from which."""
    entered = _CONSUMED
    if scores.wild[place] > scores.rest[place]:
        scores.rest[place] = scores.wild[place]
        entered = _AFTER_WILD
    before = graph.edge_before[place]
    if before >= 0 and scores.rest[before] - graph.skip_costs[place] > scores.rest[place]:
        scores.rest[place] = scores.rest[before] - graph.skip_costs[place]
        entered = _PASSED_OVER
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
        if kind == REST:
            entered = move // 32
            if entered == _PASSED_OVER:
                place = graph.edge_before[place]
                continue
            if entered == _AFTER_WILD:
                kind = WILD
                continue
            kind = WRITE if move % 2 else REST
        elif kind == WRITE:
            _note(path.starts, path.ends, place, first + frame)
            symbol = graph.symbols[place - 1]
            path.sums[place] += rows[frame, symbol] if symbol != ANYTHING else 0.0
            source = move // 2 % 4
            if source != _STAYED:
                place -= 1
                kind = REST if source == _FROM_REST else WRITE
        else:
            _note(path.wild_starts, path.wild_ends, place, first + frame)
            source = move // 8 % 4
            if source != _STAYED:
                kind = REST if source == _FROM_REST else WRITE
        frame -= 1
    state[0], state[1] = place, kind


@inlined
def _note(starts: Ints, ends: Ints, place: int, frame: int) -> None:
    """Extend the frames of ``place`` back to ``frame``."""
    if ends[place] < 0:
        ends[place] = frame + 1
    starts[place] = frame
