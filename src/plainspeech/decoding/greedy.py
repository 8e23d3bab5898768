"""Greedy CTC decoding: the best symbol of every frame (Graves et al., ICML 2006, section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import numpy.typing as npt

from plainspeech.alphabet import Alphabet
from plainspeech.arrays import Array
from plainspeech.decoding.results import PartialText
from plainspeech.errors import PlainspeechError
from plainspeech.transcript import Transcript, Word


@dataclass(frozen=True)
class _Run:
    """Neighbouring frames with the same best symbol, which writes one character.

    Attributes:
        character: what they write.
        start: first frame.
        end: the frame after the last.
    """

    character: str
    start: int
    end: int


@dataclass(frozen=True)
class GreedyDecoder:
    """What the best symbols of the frames write.

    Repeated symbols are one, blanks write nothing, and any number of spaces parts two words. A
    word lasts from the first frame that wrote it to the end of the last. Its confidence is the mean
    probability of its characters in the frames that wrote them, which is surer than it may be.

    Attributes:
        alphabet: of the log-probabilities.
        frame_seconds: from one frame to the next.
    """

    alphabet: Alphabet
    frame_seconds: float

    description = "greedy"

    def decode(self, log_probabilities: Array) -> Transcript:
        """Return the text, with words, times and confidences.

        Args:
            log_probabilities: ``(frames, symbols)``, natural logarithms, the blank last.

        Raises:
            PlainspeechError: the alphabet has another number of symbols.
        """
        words = _words(_runs(log_probabilities, self.alphabet))
        best = log_probabilities.max(axis=1)
        found = tuple(_word(runs, best, self.frame_seconds) for runs in words)
        return Transcript.of_words(found, len(log_probabilities) * self.frame_seconds)

    def decode_batch(
        self,
        utterances: Sequence[npt.ArrayLike],
        threads: int = 1,
        hot_words: Mapping[str, float] | None = None,
    ) -> list[Transcript]:
        """Return what `decode` does for each of ``utterances``, in order.

        ``threads`` and ``hot_words`` are those of `BeamSearchDecoder`; the former make no
        difference here.

        Raises:
            PlainspeechError: as `decode`, or there are hot words, which need a search.
        """
        del threads
        _refuse(hot_words)
        return [self.decode(np.asarray(utterance)) for utterance in utterances]

    def stream(self, hot_words: Mapping[str, float] | None = None) -> GreedyStream:
        """Begin an utterance that arrives piece by piece.

        Raises:
            PlainspeechError: there are hot words.
        """
        _refuse(hot_words)
        return GreedyStream(self)


@dataclass
class GreedyStream:
    """One utterance that is given piece by piece; made by `GreedyDecoder.stream`.

    What it finds does not depend on where the utterance was cut.
    """

    _decoder: GreedyDecoder
    _rows: Array = field(init=False, repr=False)
    _finished: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._rows = np.empty((0, self._decoder.alphabet.size), np.float32)

    def feed(self, log_probabilities: npt.ArrayLike) -> None:
        """Take the next frames, ``(frames, symbols)``, any number of them.

        Raises:
            PlainspeechError: the alphabet has another number of symbols, or the utterance is
                finished.
        """
        self._require_unfinished()
        rows = _validated(np.asarray(log_probabilities, np.float32), self._decoder.alphabet)
        self._rows = np.concatenate([self._rows, rows])

    def partial(self) -> PartialText:
        """Return the text so far; frames do not change what is before them, so that it only grows.

        Its last word may be incomplete; those before are certain.
        """
        written = "".join(run.character for run in _runs(self._rows, self._decoder.alphabet))
        whole, _, last = written.rpartition(" ")
        stable = " ".join(whole.split())
        return PartialText(f"{stable} {last}".strip(), stable)

    def finish(self) -> Transcript:
        """End the utterance and return what `GreedyDecoder.decode` gives.

        Raises:
            PlainspeechError: it is finished.
        """
        self._require_unfinished()
        self._finished = True
        return self._decoder.decode(self._rows)

    def _require_unfinished(self) -> None:
        if self._finished:
            raise PlainspeechError("the stream is finished; begin another for more audio")


def _refuse(hot_words: Mapping[str, float] | None) -> None:
    if hot_words:
        raise PlainspeechError("hot words: greedy decoding cannot heed them; take beam")


def greedy_text(log_probabilities: Array, alphabet: Alphabet) -> str:
    """Return the text of `GreedyDecoder`, without its times."""
    runs = _runs(log_probabilities, alphabet)
    return " ".join("".join(run.character for run in word) for word in _words(runs))


def _validated(log_probabilities: Array, alphabet: Alphabet) -> Array:
    if log_probabilities.ndim != 2 or log_probabilities.shape[1] != alphabet.size:
        raise PlainspeechError(
            f"log-probabilities have the shape {log_probabilities.shape}; "
            f"the alphabet needs (frames, {alphabet.size})"
        )
    return log_probabilities


def _runs(log_probabilities: Array, alphabet: Alphabet) -> list[_Run]:
    ids = _validated(log_probabilities, alphabet).argmax(axis=1)
    starts = np.flatnonzero(np.diff(ids, prepend=-1))
    ends = np.append(starts, len(ids))[1:]
    return [
        _Run(alphabet.symbols[symbol], start, end)
        for symbol, start, end in zip(
            ids[starts].tolist(), starts.tolist(), ends.tolist(), strict=True
        )
        if symbol != alphabet.blank_id
    ]


def _words(runs: Sequence[_Run]) -> list[list[_Run]]:
    """Part ``runs`` at their spaces."""
    parts = groupby(runs, key=lambda run: run.character == " ")
    return [list(word) for is_space, word in parts if not is_space]


def _word(runs: Sequence[_Run], best: Array, frame_seconds: float) -> Word:
    logs = np.concatenate([best[run.start : run.end] for run in runs])
    return Word(
        text="".join(run.character for run in runs),
        start=runs[0].start * frame_seconds,
        end=runs[-1].end * frame_seconds,
        # A logarithm may lie above zero by a rounding.
        confidence=min(1.0, float(np.exp(logs, dtype=np.float64).mean())),
    )
