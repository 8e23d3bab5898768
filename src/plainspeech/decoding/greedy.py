"""Greedy CTC decoding: the best symbol of every frame (Graves et al., ICML 2006, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import numpy.typing as npt

from plainspeech.alphabet import Alphabet
from plainspeech.arrays import Array
from plainspeech.decoding.hot_words import HotWords, validated_hot_words
from plainspeech.decoding.results import PartialText
from plainspeech.decoding.validation import (
    OneUtterance,
    impossible_frame_error,
    own_columns,
    require_count,
    require_frame_seconds,
    validated,
)
from plainspeech.errors import DecodingError
from plainspeech.transcript import Transcript, Word

Symbols = npt.NDArray[np.intp]


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
    """Decodes the best symbol of each frame, without a search.

    Repeated symbols are one, blanks write nothing, and any number of spaces separates two words. A
    word lasts from the first frame that wrote it to the end of the last. Its confidence is the mean
    probability of its characters in the frames that wrote them, which is too high on average.

    It accepts and refuses the same arguments as `BeamSearchDecoder`, except that there must be no
    hot words, which need a search.

    Attributes:
        alphabet: of the log-probabilities.
        frame_seconds: from one frame to the next.
        columns: of what it is given that are these log-probabilities; the others are left alone.
    """

    alphabet: Alphabet
    frame_seconds: float
    columns: slice | None = None

    description = "greedy"

    def __post_init__(self) -> None:
        require_frame_seconds(self.frame_seconds)

    def decode(
        self, log_probabilities: npt.ArrayLike, hot_words: HotWords | None = None
    ) -> Transcript:
        """Return the text, with words, times and confidences.

        Args:
            log_probabilities: ``(frames, symbols)``, natural logarithms, the blank last.
            hot_words: None, or an empty mapping.

        Raises:
            DecodingError: these are no log-probabilities over the alphabet, or there are hot words.
        """
        stream = self.stream(hot_words)
        stream.feed(log_probabilities)
        return stream.finish()

    def decode_batch(
        self,
        utterances: Sequence[npt.ArrayLike],
        threads: int = 1,
        hot_words: HotWords | None = None,
    ) -> list[Transcript]:
        """Return what `decode` returns for each of ``utterances``, in order.

        ``threads`` is that of `BeamSearchDecoder.decode_batch`, and makes no difference here.

        Raises:
            DecodingError: as `decode`.
            ConfigurationError: ``threads`` is below 1.
        """
        require_count("threads", threads)
        self._refuse(hot_words)
        return [self.decode(utterance) for utterance in utterances]

    def stream(self, hot_words: HotWords | None = None) -> GreedyStream:
        """Begin an utterance that arrives block by block.

        Raises:
            DecodingError: there are hot words.
        """
        self._refuse(hot_words)
        return GreedyStream(self.alphabet, self.frame_seconds, self.columns)

    def _refuse(self, hot_words: HotWords | None) -> None:
        if validated_hot_words(hot_words, self.alphabet):
            raise DecodingError(
                "hot_words: greedy decoding cannot use them; choose the beam search (beam)"
            )


@dataclass
class GreedyStream(OneUtterance):
    """One utterance that is given block by block; made by `GreedyDecoder.stream`.

    The result does not depend on where the utterance is cut. Of each frame the best symbol and its
    log-probability are kept.
    """

    _alphabet: Alphabet
    _frame_seconds: float
    _columns: slice | None = None
    _frames: int = field(init=False, default=0)
    _symbols: list[Symbols] = field(init=False, default_factory=list, repr=False)
    _best: list[Array] = field(init=False, default_factory=list, repr=False)
    _last: int = field(init=False, default=-1)
    _text: str = field(init=False, default="")

    def feed(self, log_probabilities: npt.ArrayLike) -> None:
        """Decode the next frames, any number of them.

        Args:
            log_probabilities: ``(frames, symbols)``, natural logarithms, the blank last.

        Raises:
            DecodingError: they are no log-probabilities over the alphabet, or the stream is
                finished.
        """
        self._require_unfinished()
        rows = validated(own_columns(log_probabilities, self._columns), self._alphabet.size)
        if not len(rows):
            return
        symbols, best = rows.argmax(axis=1), rows.max(axis=1)
        impossible = np.flatnonzero(best == -np.inf)
        if len(impossible):
            raise impossible_frame_error(self._frames + int(impossible[0]))
        written = symbols[np.diff(symbols, prepend=self._last) != 0]
        self._text += self._alphabet.decode(written.tolist())
        self._last = int(symbols[-1])
        self._frames += len(rows)
        self._symbols.append(symbols)
        self._best.append(best)

    def partial(self) -> PartialText:
        """Return the text so far, which only grows; its last word may be incomplete."""
        whole, _, last = self._text.rpartition(" ")
        stable = " ".join(whole.split())
        return PartialText(f"{stable} {last}".strip(), stable)

    def finish(self) -> Transcript:
        """End the utterance and return its text, with words, times and confidences.

        Raises:
            DecodingError: the stream is finished already.
        """
        self._finish()
        symbols = np.concatenate([np.empty(0, np.intp), *self._symbols])
        best = np.concatenate([np.empty(0, np.float32), *self._best])
        words = (_word(runs, best, self._frame_seconds) for runs in _words(symbols, self._alphabet))
        return Transcript.of_words(words, self._frames * self._frame_seconds)


def greedy_text(log_probabilities: npt.ArrayLike, alphabet: Alphabet) -> str:
    """Return the text of `GreedyDecoder`, without its times.

    Raises:
        DecodingError: these are no log-probabilities over the alphabet.
    """
    stream = GreedyDecoder(alphabet, 1.0).stream()
    stream.feed(log_probabilities)
    return stream.partial().text


def _words(symbols: Symbols, alphabet: Alphabet) -> list[list[_Run]]:
    """Return the runs of frames that write the characters of each word."""
    starts = np.flatnonzero(np.diff(symbols, prepend=-1))
    ends = np.append(starts, len(symbols))[1:]
    runs = [
        _Run(alphabet.symbols[symbol], start, end)
        for symbol, start, end in zip(
            symbols[starts].tolist(), starts.tolist(), ends.tolist(), strict=True
        )
        if symbol != alphabet.blank_id
    ]
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
