"""A beam search, watched frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.results import Candidate

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SearchTrace:
    """The hypotheses of a search after each frame.

    Attributes:
        candidates: of each frame, the best first.
        text: that the search ended with.
    """

    candidates: tuple[tuple[Candidate, ...], ...]
    text: str

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """``(frames,)``, how many hypotheses each frame left."""
        return np.array([len(frame) for frame in self.candidates], np.int64)

    def gaps(self) -> list[Doubles]:
        """Return how far the hypotheses of each frame lie below its best, nats, 0 or above."""
        return [
            np.array([frame[0].score - candidate.score for candidate in frame])
            for frame in self.candidates
        ]

    def gap_of(self, text: str) -> Doubles:
        """Return how far the best beginning of ``text`` lies below the best of each frame.

        Returns:
            ``(frames,)`` nats; NaN once no beginning of it that could still become it is left:
            a hypothesis counts while it is longer than half of what the best one has written.
        """
        return np.array([_gap(frame, text) for frame in self.candidates])


def trace_search(decoder: BeamSearchDecoder, log_probabilities: npt.ArrayLike) -> SearchTrace:
    """Decode ``log_probabilities``, and keep every hypothesis of every frame.

    It finds what `BeamSearchDecoder.decode` does, in some hundred times the time.

    Args:
        decoder: the search.
        log_probabilities: ``(frames, symbols)``, natural logarithms, the blank last.

    Raises:
        DecodingError: these are no log-probabilities over the alphabet.
    """
    stream = decoder.stream()
    frames = []
    for row in decoder.validated(log_probabilities):
        stream.feed_validated(row[None])
        frames.append(tuple(stream.candidates()))
    return SearchTrace(tuple(frames), stream.finish().text)


def _gap(frame: Sequence[Candidate], text: str) -> float:
    # A short beginning survives for a while as a rival that has fallen asleep; it is not the text.
    least = len(frame[0].text) / 2
    return next(
        (
            frame[0].score - candidate.score
            for candidate in frame
            if text.startswith(candidate.text) and len(candidate.text) >= least
        ),
        np.nan,
    )
