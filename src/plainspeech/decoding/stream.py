"""The beam search of one utterance, which may arrive piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice

import numpy as np
import numpy.typing as npt

from plainspeech.arrays import Array
from plainspeech.decoding.calibration import PARTS, UNTOLD, Evidence, describe_utterance
from plainspeech.decoding.context import SearchContext
from plainspeech.decoding.kernels import records
from plainspeech.decoding.kernels.alignment import Times, new_lattice
from plainspeech.decoding.kernels.compiled import initial_state
from plainspeech.decoding.kernels.prefixes import collect_garbage, common_prefix
from plainspeech.decoding.rescoring import RESCORED, RESCORED_WITHIN, word_shares
from plainspeech.decoding.results import (
    AlignedHypothesis,
    Candidate,
    Hypothesis,
    PartialText,
    RescoredText,
    text_of,
)
from plainspeech.decoding.spoken import KeptSentences
from plainspeech.decoding.validation import (
    OneUtterance,
    impossible_frame_error,
    require_count,
)
from plainspeech.errors import DecodingError
from plainspeech.transcript import Transcript

Ints = npt.NDArray[np.int32]

_AT_ONCE = 1024  # frames: room for prefixes is made for so many


@dataclass(frozen=True)
class _Ended:
    """A hypothesis of a search that has ended.

    Attributes:
        place: among the beams.
        score: nats, by which the search ranks it.
        text: in the alphabet of the search.
        written: its words.
        path: the places of all prefixes that it goes through.
    """

    place: int
    score: float
    text: str
    written: list[str]
    path: Ints


@dataclass(frozen=True)
class _Rescored:
    """A hypothesis, and what its score gained after the search.

    Attributes:
        stream: whose hypothesis it is.
        ended: it.
        gain: nats.
    """

    stream: BeamStream
    ended: _Ended
    gain: float

    @property
    def score(self) -> float:
        """By which the texts are ranked in the end."""
        return self.ended.score + self.gain


@dataclass
class BeamStream(OneUtterance):
    """One utterance that is given piece by piece; made by `BeamSearchDecoder.stream`.

    The result does not depend on where the utterance is cut. With a recurrent language model a
    second search, which merges equal texts only, goes along, for texts to choose from: the first
    keeps the best of many, and is the better one at that.
    """

    _context: SearchContext
    _state: records.State = field(init=False, repr=False)
    _prefixes: records.Records = field(init=False, repr=False)
    _rows: list[Array] = field(init=False, default_factory=list, repr=False)
    _ended: bool = field(init=False, default=False)
    _apart: BeamStream | None = field(init=False, default=None, repr=False)
    _stable: list[str] = field(init=False, default_factory=list, repr=False)

    def __post_init__(self) -> None:
        context = self._context
        self._state = initial_state(
            context.parameters, context.alphabet, context.tables, context.hot_words
        )
        self._prefixes = np.zeros(1, records.PREFIX)
        if context.rescoring and context.parameters.merge_by_state:
            self._apart = BeamStream(context.apart())

    def feed(self, log_probabilities: npt.ArrayLike) -> None:
        """Decode the next frames, any number of them.

        Args:
            log_probabilities: ``(frames, symbols)``, natural logarithms, the blank last. They are
                kept until the end, for the times of the words.

        Raises:
            DecodingError: they are no log-probabilities over the alphabet, or the stream is
                finished.
        """
        self.feed_validated(self._context.validated(log_probabilities).copy())

    def feed_validated(self, rows: Array, ends: bool = False) -> None:
        """Do what `feed` does with ``rows`` that are checked and will not be changed.

        Args:
            rows: the next frames.
            ends: no more will follow.
        """
        self._require_unfinished()
        if self._apart:
            self._apart.feed_validated(rows, ends)
        searched = self._context.scaled_likelihoods(rows)
        for start in range(0, len(rows), _AT_ONCE):
            part = searched[start : start + _AT_ONCE]
            self._make_room((len(part) + 1) * self._context.parameters.beam_width)
            self._advance(part, ends and start + len(part) == len(rows))
        impossible = int(self._state.head[0]["impossible_frame"])
        if impossible != records.NONE:
            raise impossible_frame_error(impossible)
        self._rows.append(rows)

    def partial(self) -> PartialText:
        """Return the best hypothesis so far, and what of it is certain."""
        beams = self._beams()
        best = beams[int(np.argmax(beams["blank"] + beams["symbol"]))]
        certain = self._symbols(self._traced(common_prefix(self._prefixes, beams, len(beams))))
        # The end of the audio can still undo a word that has begun.
        whole = np.flatnonzero(certain == self._context.parameters.space)
        if self._context.parameters.space != records.NONE:
            certain = certain[: whole[-1] if len(whole) else 0]
        best_symbols = self._symbols(self._traced(int(best["node"])))
        stable = self._context.settled(certain)
        self._stable = stable.split()
        return PartialText(self._context.written(best_symbols), stable)

    def candidates(self) -> list[Candidate]:
        """Return the hypotheses so far, the best first, for those who watch the search."""
        beams = self._beams()
        weights = beams["blank"] + beams["symbol"]
        with np.errstate(divide="ignore"):
            scores = np.log(weights) + float(self._state.head[0]["log_factor"])
        return [
            Candidate(
                self._context.written(self._symbols(self._traced(int(beams[place]["node"])))),
                float(scores[place]),
            )
            for place in np.argsort(-weights, kind="stable").tolist()
        ]

    def finish(self) -> Transcript:
        """End the utterance and return the best text, with words, times and confidences.

        Raises:
            DecodingError: the stream is finished already.
        """
        return self.finish_with_evidence()[0]

    def finish_with_evidence(self) -> tuple[Transcript, Evidence]:
        """Do what `finish` does, and return also what the confidences are made of."""
        best = next(self._alignments())[1]
        return self._transcript(best), best.evidence

    def finish_n_best(self, count: int) -> list[Hypothesis]:
        """End the utterance and return its ``count`` best texts, the best first."""
        require_count("count", count)
        return [
            each.stream._hypothesis(each, alignment)
            for _, (each, alignment) in zip(range(count), self._alignments(), strict=False)
        ]

    def finish_rescored(self) -> list[RescoredText]:
        """End the utterance and return the texts that a recurrent model scores anew.

        Without such a model it is the best text alone.
        """
        self._close()
        changed, others = self._scored_anew()
        return [
            RescoredText(" ".join(each.ended.written), each.ended.score, each.gain)
            for each in changed or islice(others, 1)
        ]

    def _hypothesis(self, found: _Rescored, alignment: AlignedHypothesis) -> Hypothesis:
        beam = self._beams()[found.ended.place]
        lm, hot = float(beam["lm"]), float(beam["hot"])
        return Hypothesis(
            transcript=self._transcript(alignment),
            characters=alignment.characters(),
            score=found.score,
            acoustic_score=found.ended.score - lm - hot,
            lm_score=lm + found.gain,
            hot_word_score=hot,
        )

    def _transcript(self, alignment: AlignedHypothesis) -> Transcript:
        return alignment.transcript(self._frames(), self._context.calibration)

    def _alignments(self) -> Iterator[tuple[_Rescored, AlignedHypothesis]]:
        """End the utterance and yield hypotheses with texts of their own, the best first."""
        self._close()
        rows = self._rows[0] if len(self._rows) == 1 else self._joined()
        changed, others = self._scored_anew()
        done = [each.ended.written for each in changed]
        scores = [each.score for each in changed]
        new = (each for each in others if each.ended.written not in done)
        # The best first; those of the end gain nothing.
        for each in chain(sorted(changed, key=lambda each: -each.score), new):
            aligned = each.stream._aligned(rows, each.ended)
            if changed:
                shares = word_shares(each.ended.written, done, scores)
                aligned.evidence[: len(shares), 5] = shares
            yield each, aligned

    def _scored_anew(self) -> tuple[list[_Rescored], Iterator[_Rescored]]:
        """Return the texts that are scored anew, and the others, the best first."""
        own, apart, rescoring = self._ended_hypotheses(), self._apart, self._context.rescoring
        if rescoring is None:
            return [], (_Rescored(self, each, 0.0) for each in own)
        if apart is None:
            ranked = (_Rescored(self, each, 0.0) for each in own)
        else:
            apart._close()
            possible = filter(self._keeps_promise, apart._ended_hypotheses())
            ranked = (_Rescored(apart, each, 0.0) for each in possible)
        some, others = _near_best(ranked)
        best = next(own, None)
        if best is not None and best.written not in [each.ended.written for each in some]:
            some.append(_Rescored(self, best, 0.0))
        gains = rescoring.gains([each.ended.written for each in some])
        return [replace(each, gain=gain) for each, gain in zip(some, gains, strict=True)], others

    def _keeps_promise(self, ended: _Ended) -> bool:
        """Return whether a hypothesis of the other search begins with what was called stable."""
        return ended.written[: len(self._stable)] == self._stable

    def _ended_hypotheses(self) -> Iterator[_Ended]:
        """Yield the hypotheses of the search with texts of their own, the best first."""
        beams, seen, kept = self._beams(), set[str](), KeptSentences()
        weights, factor = beams["blank"] + beams["symbol"], float(self._state.head[0]["log_factor"])
        possible = np.flatnonzero((weights > 0) & np.isfinite(weights))
        if not len(possible):
            raise DecodingError("no text has a score: the language model's scores are not finite")
        for place in possible[np.argsort(-weights[possible], kind="stable")].tolist():
            path = self._traced(int(beams[place]["node"]))
            text = text_of(self._symbols(path), self._context.alphabet)
            written = self._context.words(text, kept)
            if (key := " ".join(written)) not in seen:
                seen.add(key)
                score = float(np.log(weights[place])) + factor
                yield _Ended(place, score, text, written, path)

    def _aligned(self, rows: Array, ended: _Ended) -> AlignedHypothesis:
        """Return the best alignment; the frames of its path stand in where there is none."""
        text, path = ended.text, ended.path
        context, length = self._context, len(text)
        symbols, starts = self._symbols(path[:length]), self._prefixes["frame"][path[:length]]
        times = Times(starts, starts + np.int32(1), np.zeros(length))
        context.kernels.align_text(
            rows, symbols, context.parameters, new_lattice(len(rows), length), times
        )
        count = text.count(" ") + 1 if text else 0
        words, evidence = np.empty((count, 2), np.int32), np.empty((count, PARTS))
        context.kernels.gather_evidence(
            path, self._prefixes, times, context.parameters, words, evidence
        )
        describe_utterance(evidence)
        evidence[:, 5] = UNTOLD
        symbols_of = context.spoken.name if context.spoken else str
        return AlignedHypothesis(
            tuple(map(symbols_of, text)),
            ended.written,
            times.starts,
            times.ends,
            words,
            evidence,
            context.frame_seconds,
        )

    def _close(self) -> None:
        self._finish()
        if not self._ended:
            self._make_room(self._context.parameters.beam_width)
            self._advance(np.empty((0, self._context.alphabet.size), np.float32), ends=True)

    def _advance(self, rows: Array, ends: bool) -> None:
        context = self._context
        self._ended = ends
        context.kernels.advance(
            rows,
            ends,
            context.parameters,
            context.lexicon,
            context.tables,
            context.hot_words,
            self._state,
            self._prefixes,
        )

    def _make_room(self, needed: int) -> None:
        """Have room for ``needed`` more prefixes; those without a future go first."""
        head = self._state.head[0]
        if len(self._prefixes) - head["prefixes"] >= needed:
            return
        beams, used = self._beams(), int(head["prefixes"])
        if used > 1:
            places = np.zeros(used, np.int32)
            used = collect_garbage(self._prefixes, used, beams, len(beams), places)
            head["prefixes"] = used
        if len(self._prefixes) - used < needed:
            grown = np.empty(2 * used + needed, records.PREFIX)
            grown[:used] = self._prefixes[:used]
            self._prefixes = grown

    def _beams(self) -> records.Records:
        head = self._state.head[0]
        return self._state.beams[head["side"], : head["beams"]]

    def _frames(self) -> int:
        return int(self._state.head[0]["frame"])

    def _joined(self) -> Array:
        return np.concatenate([np.empty((0, self._context.alphabet.size), np.float32), *self._rows])

    def _symbols(self, path: Ints) -> Ints:
        symbols: Ints = self._prefixes["symbol"][path]
        return symbols

    def _traced(self, node: int) -> Ints:
        """Return the places of all prefixes that one goes through, itself the last."""
        path = np.empty(self._frames() + 1, np.int32)
        return path[: self._context.kernels.trace(self._prefixes, node, path)]


def _near_best(ranked: Iterator[_Rescored]) -> tuple[list[_Rescored], Iterator[_Rescored]]:
    """Return those that are scored anew, and the others; all are ``ranked``, the best first."""
    near: list[_Rescored] = []
    for each in ranked:
        if len(near) == RESCORED or (near and each.score < near[0].score - RESCORED_WITHIN):
            return near, chain([each], ranked)
        near.append(each)
    return near, ranked
