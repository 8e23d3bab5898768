"""Which part of a recogniser causes an error: acoustics, language model, search or vocabulary.

The method: a run of wrong words of the hypothesis is replaced by what was said there, and both
texts are scored exactly (`plainspeech.decoding.text_scores`), by the network and by the language
model. L. Chase, "Error-responsive feedback mechanisms for speech recognizers", 1997, has the idea.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy.typing as npt

from plainspeech.alphabet import Alphabet
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.text_scores import TextScorer
from plainspeech.errors import ConfigurationError
from plainspeech.evaluation.error_rates import Pair, Step, align_words
from plainspeech.runtime.analysis import AnalysedChunk, Analysis
from plainspeech.transcript import Word

Cause = Literal["search", "vocabulary", "acoustics", "language model"]

CAUSES: dict[Cause, str] = {
    "acoustics": "without the language model, too, what was recognised scores higher",
    "language model": "what was said scores higher without it, and lower with it",
    "search": "what was said scores higher, and was pruned",
    "vocabulary": "a word that was said is not in the lexicon",
}
"""What each cause means."""


@dataclass(frozen=True)
class Difference:
    """A run of words in which two texts differ, between words that they share.

    Attributes:
        said: the words of the first text, which may be none.
        recognised: those of the second, which may be none.
        start: how many words of the second text come before.
        errors: insertions, deletions and substitutions.
    """

    said: tuple[str, ...]
    recognised: tuple[str, ...]
    start: int
    errors: int


def differences(reference: str, hypothesis: str) -> list[Difference]:
    """Return the runs in which ``hypothesis`` differs from ``reference``, in order."""
    found, run, place, start = [], list[Step](), 0, 0
    for step in [*align_words(Pair("", "", reference, hypothesis)), Step("hit", "", "")]:
        if step.operation == "hit":
            if run:
                said = tuple(one.reference for one in run if one.reference)
                heard = tuple(one.hypothesis for one in run if one.hypothesis)
                found.append(Difference(said, heard, start, len(run)))
            run = []
        else:
            start = start if run else place
            run.append(step)
        place += bool(step.hypothesis)
    return found


@dataclass(frozen=True)
class Explanation:
    """Why a run of words is wrong.

    Attributes:
        difference: what was said and what was recognised.
        acoustic: nats by which the network prefers what was said; negative where it does not.
        language: nats by which the language model does, with its weights.
        unknown: the words that were said and are not in the lexicon.
        start: seconds from the start of the recording, of the run.
        end: seconds, of its end.
    """

    difference: Difference
    acoustic: float
    language: float
    unknown: tuple[str, ...] = ()
    start: float = 0.0
    end: float = 0.0

    @property
    def cause(self) -> Cause:
        """The first that holds of: search, vocabulary, acoustics, language model."""
        if self.acoustic + self.language > 0:
            return "search"
        if self.unknown:
            return "vocabulary"
        return "acoustics" if self.acoustic < 0 else "language model"


class Explainer:
    """Explains the errors of a model.

    Args:
        decoder: of the model.
        alphabet: of the model.

    Raises:
        ConfigurationError: the decoder is not the beam search.
    """

    def __init__(self, decoder: object, alphabet: Alphabet) -> None:
        if not isinstance(decoder, BeamSearchDecoder):
            raise ConfigurationError(
                "decoder: greedy decoding has no search to explain; use the beam search (beam)"
            )
        self._alphabet = alphabet
        self._scorer = TextScorer(decoder)

    def unknown_words(self, reference: str) -> tuple[str, ...]:
        """Return the words of ``reference`` outside the lexicon."""
        return tuple(self._scorer.unknown_words(self._alphabet.normalise(reference)))

    def explain(self, analysis: Analysis, reference: str) -> list[Explanation]:
        """Return an explanation of each run of words of ``analysis`` that is wrong.

        Args:
            analysis: of the recording.
            reference: what was said; it is normalised to the model's alphabet.
        """
        said = self._alphabet.normalise(reference)
        parts = _parted(said, [chunk.transcript.text for chunk in analysis.chunks])
        return [
            explanation
            for chunk, part in zip(analysis.chunks, parts, strict=True)
            for explanation in self._of_chunk(chunk, part)
        ]

    def _of_chunk(self, chunk: AnalysedChunk, said: str) -> list[Explanation]:
        words = chunk.transcript.words
        return [
            replace(found, start=start, end=end)
            for found in explain_text(
                self._scorer, chunk.log_probabilities, said, chunk.transcript.text
            )
            for start, end in [_times(chunk, words, found.difference)]
        ]


def explain_text(
    scorer: TextScorer, log_probabilities: npt.ArrayLike, reference: str, hypothesis: str
) -> list[Explanation]:
    """Return an explanation of each run of wrong words of one utterance, without its times.

    Args:
        scorer: of the search that found ``hypothesis``.
        log_probabilities: ``(frames, symbols)``, natural logarithms, the blank last.
        reference: what was said, in the alphabet.
        hypothesis: what was recognised.
    """
    recognised = hypothesis.split()
    whole = scorer.score(log_probabilities, hypothesis)
    found = []
    for difference in differences(reference, hypothesis):
        after = difference.start + len(difference.recognised)
        other = [*recognised[: difference.start], *difference.said, *recognised[after:]]
        score = scorer.score(log_probabilities, " ".join(other))
        found.append(
            Explanation(
                difference,
                acoustic=score.acoustic - whole.acoustic,
                language=score.lm - whole.lm,
                unknown=tuple(scorer.unknown_words(" ".join(difference.said))),
            )
        )
    return found


def _parted(reference: str, hypotheses: Sequence[str]) -> list[str]:
    """Return the part of ``reference`` that belongs to each of ``hypotheses``, by alignment."""
    parts: list[list[str]] = [[] for _ in hypotheses]
    counts = [len(text.split()) for text in hypotheses]
    place, seen = 0, 0
    for step in align_words(Pair("", "", reference, " ".join(hypotheses))):
        while place + 1 < len(parts) and seen >= counts[place]:
            place, seen = place + 1, 0
        if step.reference and parts:
            parts[place].append(step.reference)
        seen += bool(step.hypothesis)
    return [" ".join(part) for part in parts]


def _times(
    chunk: AnalysedChunk, words: Sequence[Word], difference: Difference
) -> tuple[float, float]:
    """Return the times of the words of a run; of none, from the word before to the next."""
    first, after = difference.start, difference.start + len(difference.recognised)
    if first < after:
        return words[first].start, words[after - 1].end
    end = chunk.start + chunk.transcript.duration
    return (
        words[first - 1].end if first else chunk.start,
        words[first].start if first < len(words) else end,
    )
