"""The best texts of a search that has ended, those that it merged with others included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plainspeech.decoding.kernels.compiled import CompiledKernels
from plainspeech.decoding.kernels.recombination import COUNTS, DERIVATION
from plainspeech.decoding.kernels.records import (
    CHARACTER_MODEL,
    NONE,
    PREFIX,
    Ints,
    Records,
    SearchParameters,
)

_AT_ONCE = 32  # texts that are listed after the best one, then twice as many
_ROOM = 1024  # derivations


@dataclass(frozen=True)
class EndedText:
    """A text of a search that has ended.

    Attributes:
        score: nats, by which the search ranks it.
        lm: of which so much is from the language model.
        hot: and from hot words.
        merged: whether the search merged it with another; then it may be that no alignment of it is
            as long as the utterance.
        prefixes: of it, the shortest first, of records `PREFIX`.
    """

    score: float
    lm: float
    hot: float
    merged: bool
    prefixes: Records

    @property
    def symbols(self) -> Ints:
        """The text, and the space after it, if it ends with one."""
        symbols: Ints = self.prefixes["symbol"]
        return np.ascontiguousarray(symbols)


def n_best_texts(
    prefixes: Records,
    stable: int,
    beams: Records,
    scores: npt.NDArray[np.float64],
    frames: int,
    parameters: SearchParameters,
    kernels: CompiledKernels,
) -> Iterator[list[EndedText]]:
    """Yield the texts of a search, some at a time, the best first; those with equal symbols once.

    Args:
        prefixes: the tree.
        stable: the prefix that all texts must begin with.
        beams: the hypotheses of the end, which do.
        scores: of each, nats.
        frames: of the utterance.
        parameters: of the search.
        kernels: of the search.
    """
    space = parameters.space
    # A model over characters has scored the space after a text, which takes a frame.
    ending = NONE if parameters.mode == CHARACTER_MODEL else space
    derivations = np.empty(len(beams) + _ROOM, DERIVATION)
    first = derivations[: len(beams)]
    first["score"], first["lm"], first["hot"] = scores, beams["lm"], beams["hot"]
    first["node"], first["follows"], first["until"] = beams["node"], NONE, frames
    counts = np.zeros(1, COUNTS)
    counts["derivations"] = len(beams)
    path, found, listed = np.empty(frames + 1, np.int32), np.empty(1, np.int32), 0
    while True:
        while True:
            given = (derivations, counts, path, found)
            count = kernels.list_texts(prefixes, stable, frames, ending, *given)
            if count != NONE:
                break
            derivations = _longer(derivations, len(derivations))
        if count == listed:
            return
        places = found[listed:count]
        some = derivations[places]
        texts = np.empty(some["length"].sum(), PREFIX)
        kernels.write_texts(prefixes, space, derivations, places, path, texts)
        parts = np.split(texts, np.cumsum(some["length"])[:-1])
        numbers = some[["score", "lm", "hot", "follows"]].tolist()
        yield [
            EndedText(score, lm, hot, follows != NONE, part)
            for (score, lm, hot, follows), part in zip(numbers, parts, strict=True)
        ]
        # Most want the best alone, and others some twenty.
        found, listed = _longer(found, max(_AT_ONCE, count)), count


def _longer(records: Records, more: int) -> Records:
    return np.concatenate([records, np.empty(more, records.dtype)])
