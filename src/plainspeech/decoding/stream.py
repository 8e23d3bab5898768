"""The beam search of one utterance, which may arrive piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
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
from plainspeech.decoding.kernels.records import CHARACTER_MODEL
from plainspeech.decoding.n_best import EndedText, n_best_texts
from plainspeech.decoding.rescoring import RESCORED, RESCORED_WITHIN, word_shares
from plainspeech.decoding.results import (
    AlignedHypothesis,
    Candidate,
    Hypothesis,
    PartialText,
    RescoredText,
    text_of,
)
from plainspeech.decoding.settled import NOTHING, SettledText
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
class _Text:
    """A text of a search that has ended, and what its score gained afterwards.

    Attributes:
        ended: as the search has it.
        spelling: in the alphabet of the search.
        words: as they are written.
        acoustic: logarithm of the sum of the probabilities of its alignments.
        gain: nats, of a recurrent language model.
    """

    ended: EndedText
    spelling: str
    words: list[str]
    acoustic: float
    gain: float = 0.0

    @property
    def search_score(self) -> float:
        """The score without what was gained afterwards."""
        return self.acoustic + self.ended.lm + self.ended.hot

    @property
    def score(self) -> float:
        """By which the texts are ranked in the end."""
        return self.search_score + self.gain


@dataclass
class BeamStream(OneUtterance):
    """One utterance that is given piece by piece; made by `BeamSearchDecoder.stream`.

    The result does not depend on where the utterance is cut.
    """

    _context: SearchContext
    _state: records.State = field(init=False, repr=False)
    _prefixes: records.Records = field(init=False, repr=False)
    _rows: list[Array] = field(init=False, default_factory=list, repr=False)
    _ended: bool = field(init=False, default=False)
    _settled: SettledText = field(init=False, default=NOTHING, repr=False)

    def __post_init__(self) -> None:
        context = self._context
        self._state = initial_state(
            context.parameters, context.alphabet, context.tables, context.hot_words
        )
        self._prefixes = np.zeros(1, records.PREFIX)
        self._prefixes["recombined"] = records.NONE

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
        searched = self._context.scaled_likelihoods(rows)
        for start in range(0, len(rows), _AT_ONCE):
            part = searched[start : start + _AT_ONCE]
            self._make_room(2 * (len(part) + 1) * self._context.parameters.beam_width)
            self._advance(part, ends and start + len(part) == len(rows))
        impossible = int(self._state.head[0]["impossible_frame"])
        if impossible != records.NONE:
            raise impossible_frame_error(impossible)
        self._rows.append(rows)

    def partial(self) -> PartialText:
        """Return the best hypothesis so far, and what of it is certain.

        With a recurrent language model, what is certain is chosen by it, now: so the final text may
        depend on when this was called.
        """
        beams = self._beams()
        best = int(beams[int(np.argmax(beams["blank"] + beams["symbol"]))]["node"])
        common = self._rest(common_prefix(self._prefixes, beams, len(beams)))
        ends: npt.NDArray[np.intp] = np.arange(1, len(common) + 1)
        if self._context.parameters.space != records.NONE:
            # The end of the audio can still undo a word that has begun.
            ends = 1 + np.flatnonzero(self._symbols(common) == self._context.parameters.space)
        if self._context.rescoring:
            self._settle(self._rest(best), ends)
            stable: Sequence[str] = self._settled.words
        else:
            stable = self._stays(common[: ends[-1] if len(ends) else 0])
        return PartialText(self._written(best), " ".join(stable))

    def candidates(self) -> list[Candidate]:
        """Return the hypotheses so far, the best first, for those who watch the search."""
        beams = self._beams()
        weights = beams["blank"] + beams["symbol"]
        with np.errstate(divide="ignore"):
            scores = np.log(weights) + float(self._state.head[0]["log_factor"])
        return [
            Candidate(self._written(int(beams[place]["node"])), float(scores[place]))
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
        best = next(self._alignments(1))[1]
        return self._transcript(best), best.evidence

    def finish_n_best(self, count: int) -> list[Hypothesis]:
        """End the utterance and return its ``count`` best texts, the best first."""
        require_count("count", count)
        return [self._hypothesis(*each) for each in islice(self._alignments(count), count)]

    def finish_rescored(self) -> list[RescoredText]:
        """End the utterance and return the texts that a recurrent model scores anew.

        Without such a model it is the best text alone.
        """
        self._close()
        changed, others = self._scored_anew()
        return [
            RescoredText(" ".join(each.words), each.search_score, each.gain)
            for each in changed or islice(others, 1)
        ]

    def _settle(self, best: Ints, ends: npt.NDArray[np.intp]) -> None:
        """Choose the words that all texts begin with from now on.

        The last of them is one that no word which sounds alike can replace, whatever follows. That
        certain words after it tell it from these is not enough: waiting makes fewer errors
        (docs/decisions/0026).

        Args:
            best: prefixes of the best hypothesis, after those that are settled.
            ends: how many of them lead to the end of each word that all hypotheses have.
        """
        head, before, rescoring = self._state.head[0], self._settled, self._context.rescoring
        assert rescoring is not None
        # Of what ended later, posteriors are not known yet.
        ends = ends[self._prefixes["frame"][best[ends - 1]] < head["updated_before"]]
        while len(ends) and len(self._stays(best[: ends[-1]])) < len(ends):
            ends = ends[:-1]
        if not len(ends):
            return
        size = int(ends[-1])
        near, _ = _near_best(self._beginnings(int(best[size - 1])))
        if len(near) > 1:
            near = self._followed(near, self._symbols(best[size:]))
        texts = [each.words[len(before.words) :] for each in near]
        gains = rescoring.gains(texts, before.begun, ended=False)
        scores = [each.score + gain for each, gain in zip(near, gains, strict=True)]
        place = int(np.argmax(scores))
        ended, words = near[place].ended, texts[place]
        self._settled = SettledText(
            node=int(best[size - 1]),
            depth=before.depth + size,
            prefixes=ended.prefixes,
            words=(*before.words, *words),
            shares=(*before.shares, *word_shares(words, texts, scores)),
            begun=rescoring.models.after(before.begun or rescoring.models.begin(), words),
            score=ended.score,
            lm=ended.lm,
            hot=ended.hot,
            gain=before.gain + gains[place],
        )
        self._prefixes["recombined"][best[:size]] = records.NONE  # decided

    def _stays(self, path: Ints) -> Sequence[str]:
        """Return the words of a path, after those that are settled, that stay as they are."""
        return self._context.settled(self._spelled(path), self._settled.ngrams)

    def _followed(self, beginnings: Sequence[_Text], rest: Ints) -> list[_Text]:
        """Return those that ``rest`` can follow in these frames, as probable as they are then.

        A text may come to a prefix when the best hypothesis has left it: it is likely only in terms
        of what has stayed there.
        """
        probability, followed = self._forward(), []
        for each in beginnings:
            symbols = np.concatenate([each.ended.symbols, rest])
            acoustic = probability(symbols, len(symbols))
            if np.isfinite(acoustic):
                followed.append(replace(each, acoustic=acoustic))
        return followed or [beginnings[0]]

    def _beginnings(self, node: int) -> Iterator[_Text]:
        """Yield the texts that lead to a prefix of all hypotheses, the best first.

        Their scores are in terms of what the search goes on with.

        Args:
            node: the prefix; it ends a word.
        """
        end = np.zeros(1, records.BEAM)
        end["node"] = node
        return self._listed(end, np.zeros(1), ended=False)

    def _hypothesis(self, text: _Text, alignment: AlignedHypothesis) -> Hypothesis:
        return Hypothesis(
            transcript=self._transcript(alignment),
            characters=alignment.characters(),
            score=text.score,
            acoustic_score=text.acoustic,
            lm_score=text.ended.lm + text.gain,
            hot_word_score=text.ended.hot,
        )

    def _transcript(self, alignment: AlignedHypothesis) -> Transcript:
        return alignment.transcript(self._frames(), self._context.calibration)

    def _alignments(self, count: int) -> Iterator[tuple[_Text, AlignedHypothesis]]:
        """End the utterance and yield ``count`` texts or more, the best first."""
        self._close()
        changed, others = self._scored_anew()
        done, scores = [each.words for each in changed], [each.score for each in changed]
        missing = max(0, count - len(changed))
        if missing > 1:
            # The search knows merged texts as they were when it merged them.
            others = (min(each, key=_score) for each in self._summed(others))
        more = list(islice(others, missing))
        changed.sort(key=_score, reverse=True)
        more.sort(key=_score, reverse=True)
        rows = self._joined()
        for text in chain(changed, more):
            aligned = self._aligned(rows, text)
            if changed:
                shares = word_shares(text.words, done, scores)
                aligned.evidence[: len(shares), 5] = shares
                aligned.evidence[: len(self._settled.shares), 5] = self._settled.shares
            yield text, aligned

    def _scored_anew(self) -> tuple[list[_Text], Iterator[_Text]]:
        """Return the texts that are scored anew, and the others, the best first."""
        texts, rescoring = self._texts(), self._context.rescoring
        if rescoring is None:
            return [], texts
        near, others = _near_best(texts)
        near = [exact for _, exact in self._summed(near)]
        begun, told = self._settled.begun, len(self._settled.words)
        gains = rescoring.gains([each.words[told:] for each in near], begun)
        changed = [
            replace(each, gain=self._settled.gain + gain)
            for each, gain in zip(near, gains, strict=True)
        ]
        return changed, others

    def _texts(self) -> Iterator[_Text]:
        """Yield the texts of the search that are written differently, the best first."""
        beams, seen = self._beams(), set[str]()
        weights, factor = beams["blank"] + beams["symbol"], float(self._state.head[0]["log_factor"])
        possible = (weights > 0) & np.isfinite(weights)
        if not possible.any():
            raise DecodingError("no text has a score: the language model's scores are not finite")
        scores = np.log(weights[possible]) + factor
        for text in self._listed(beams[possible], scores, ended=True):
            if (key := " ".join(text.words)) not in seen:
                seen.add(key)
                yield text

    def _listed(
        self, ends: records.Records, scores: npt.NDArray[np.float64], ended: bool
    ) -> Iterator[_Text]:
        """Yield the texts that end as some hypotheses do, the best first.

        Args:
            ends: the hypotheses.
            scores: of each, nats.
            ended: whether the sentence ends with them.
        """
        before, context = self._settled, self._context
        lists = n_best_texts(
            self._prefixes,
            before.node,
            ends,
            scores,
            self._frames(),
            context.parameters,
            context.kernels,
        )
        for some in lists:
            texts = [before.completed(each) for each in some]
            spellings = [text_of(each.symbols, context.alphabet) for each in texts]
            rest = [
                text_of(each.symbols[len(before.prefixes) :], context.alphabet) for each in texts
            ]
            written = context.words(rest, before.ngrams, ended)
            for each, spelling, words in zip(texts, spellings, written, strict=True):
                acoustic = each.score - each.lm - each.hot
                yield _Text(each, spelling, [*before.words, *words], acoustic)

    def _summed(self, texts: Iterable[_Text]) -> Iterator[tuple[_Text, _Text]]:
        """Yield texts that are possible, and them with the probabilities of all their alignments.

        Of a text that the search has merged it has not followed all.
        """
        context = self._context
        if not context.parameters.merge_by_state:
            yield from ((text, text) for text in texts)
            return
        probability = self._forward()
        for text in texts:
            symbols = text.ended.symbols
            whole = context.parameters.mode == CHARACTER_MODEL  # it has scored a space at the end
            acoustic = probability(symbols, len(symbols) if whole else len(text.spelling))
            if np.isfinite(acoustic):
                yield text, replace(text, acoustic=acoustic)
            elif not text.ended.merged:
                yield text, text

    def _forward(self) -> Callable[[Ints, int], float]:
        """Return what gives the logarithm of the sum of the probabilities of all alignments.

        Its arguments are symbols, and how many of them are the text: a space may follow.
        """
        context, score = self._context, np.empty(1)
        rows = np.exp(context.scaled_likelihoods(self._joined()), dtype=np.float64)

        def probability(symbols: Ints, length: int) -> float:
            scratch, space = np.zeros((2, len(symbols) + 1)), context.parameters.space
            context.kernels.score_alignments(rows, symbols, length, space, *scratch, score)
            return float(score[0])

        return probability

    def _aligned(self, rows: Array, text: _Text) -> AlignedHypothesis:
        """Return the best alignment; the frames of its prefixes stand in where there is none."""
        context, length, prefixes = self._context, len(text.spelling), text.ended.prefixes
        symbols, starts = text.ended.symbols[:length], prefixes["frame"][:length].copy()
        times = Times(starts, starts + np.int32(1), np.zeros(length))
        context.kernels.align_text(
            rows, symbols, context.parameters, new_lattice(len(rows), length), times
        )
        count = text.spelling.count(" ") + 1 if length else 0
        words, evidence = np.empty((count, 2), np.int32), np.empty((count, PARTS))
        context.kernels.gather_evidence(prefixes, times, context.parameters, words, evidence)
        describe_utterance(evidence)
        evidence[:, 5] = UNTOLD
        symbols_of = context.spoken.name if context.spoken else str
        return AlignedHypothesis(
            tuple(map(symbols_of, text.spelling)),
            text.words,
            times.starts,
            times.ends,
            words,
            evidence,
            context.frame_seconds,
        )

    def _close(self) -> None:
        self._finish()
        if not self._ended:
            self._make_room(2 * self._context.parameters.beam_width)
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
            places, waiting = np.zeros((2, used), np.int32)
            used = collect_garbage(self._prefixes, used, beams, len(beams), places, waiting)
            head["prefixes"] = used
            self._settled = replace(self._settled, node=int(places[self._settled.node]))
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
        """Return all frames; pieces are joined once."""
        if len(self._rows) != 1:
            none = np.empty((0, self._context.alphabet.size), np.float32)
            self._rows = [np.concatenate([none, *self._rows])]
        return self._rows[0]

    def _symbols(self, path: Ints) -> Ints:
        symbols: Ints = self._prefixes["symbol"][path]
        return symbols

    def _spelled(self, path: Ints) -> str:
        return text_of(self._symbols(path), self._context.alphabet)

    def _written(self, node: int) -> str:
        """Return the text of a hypothesis, what is settled at its beginning."""
        rest = self._spelled(self._rest(node))
        (words,) = self._context.words([rest], self._settled.ngrams, ended=False)
        return " ".join([*self._settled.words, *words])

    def _rest(self, node: int) -> Ints:
        """Return the places of the prefixes that lead to one, after those that are settled."""
        return self._traced(node)[self._settled.depth :]

    def _traced(self, node: int) -> Ints:
        """Return the places of all prefixes that one goes through, itself the last."""
        path = np.empty(self._frames() + 1, np.int32)
        return path[: self._context.kernels.trace(self._prefixes, node, path)]


def _score(text: _Text) -> float:
    return text.score


def _near_best(ranked: Iterator[_Text]) -> tuple[list[_Text], Iterator[_Text]]:
    """Return those that are scored anew, and the others; all are ``ranked``, the best first."""
    near: list[_Text] = []
    for each in ranked:
        if len(near) == RESCORED or (near and each.score < near[0].score - RESCORED_WITHIN):
            return near, chain([each], ranked)
        near.append(each)
    return near, ranked
