"""Mixing two models by static interpolation, with a weight that is tuned on held-out text.

Every n-gram that one of the two has gets the probability ``w p(word) + (1 - w) q(word)``, and the
back-off weights follow from these, as ``ngram -mix-lm`` of SRILM does it (A. Stolcke, SRILM: an
extensible language modeling toolkit, ICSLP 2002). The weight maximises the probability of held-out
text, by expectation maximisation (F. Jelinek and R. Mercer, Interpolated estimation of Markov
source parameters from sparse data, 1980).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from plainspeech.compiling.lazy import compiled
from plainspeech.errors import LanguageModelError
from plainspeech.lm.arpa import ArpaModel
from plainspeech.lm.build import BuildSettings, build_model
from plainspeech.lm.corpus import read_sentences
from plainspeech.lm.levels import Rows, keys, word_ids
from plainspeech.lm.scorer import Scorer
from plainspeech.lm.tables import (
    BOS_ID,
    LARGEST_BACKOFF_LOG,
    LEAST_LOG,
    UNKNOWN_ID,
    Floats,
    Ints,
    Level,
    NGramTables,
    build_tables,
    score_word,
)

Doubles = npt.NDArray[np.float64]

_PARTS = 100  # of a text, every tenth of which is held out
_ROUNDS = 200  # of expectation maximisation, at most
_SMALLEST_CHANGE = 1e-6
_LEAST_WEIGHT = 1e-3
_LEAST_REST = 1e-9  # of probability, above the rounding of what has no rest


@dataclass(frozen=True)
class TunedWeight:
    """The weight of a model beside another.

    Attributes:
        weight: of the first, 0.001 to 0.999.
        words: known words and ends of sentences that it was tuned on.
    """

    weight: float
    words: int


def split_held_out(
    sentences: Sequence[Sequence[str]],
) -> tuple[list[Sequence[str]], list[Sequence[str]]]:
    """Return nine tenths of ``sentences``, and ten stretches of them that are held out.

    Stretches, since neighbouring sentences are alike; ten, spread over a text that may change.

    Raises:
        LanguageModelError: there are fewer than twenty.
    """
    if len(sentences) < 20:
        raise LanguageModelError(
            f"the text has {len(sentences)} sentences; to tune a weight at least 20 are needed, "
            f"one a line: give the weight (--weight 0.3)"
        )
    parts = min(_PARTS, len(sentences))
    held = [place * parts // len(sentences) % 10 == 9 for place in range(len(sentences))]
    return (
        [s for s, out in zip(sentences, held, strict=True) if not out],
        [s for s, out in zip(sentences, held, strict=True) if out],
    )


def weight_of_text(texts: Sequence[Path], settings: BuildSettings, other: ArpaModel) -> TunedWeight:
    """Return the weight of ``texts`` beside ``other``, tuned on a tenth that is held out.

    Args:
        texts: as `plainspeech.lm.build.build_model` takes them; they are read into memory.
        settings: of the model of the rest.
        other: the model to mix with.

    Raises:
        LanguageModelError: there is too little text.
    """
    kept, held = split_held_out(list(read_sentences(texts, settings.alphabet)))
    with tempfile.TemporaryDirectory(prefix="plainspeech-lm-") as name:
        file = Path(name) / "text"
        file.write_text("".join(f"{' '.join(words)}\n" for words in kept), encoding="utf-8")
        model, _ = build_model([file], settings)
    return tuned_weight(model, other, held)


def tuned_weight(
    first: ArpaModel, second: ArpaModel, sentences: Iterable[Sequence[str]]
) -> TunedWeight:
    """Return the weight of ``first`` beside ``second`` under which ``sentences`` are most probable.

    A word that one of the two does not have is impossible for it; one that neither has is left out.

    Raises:
        LanguageModelError: neither has any of the words.
    """
    scorers = [Scorer.from_model(model) for model in (first, second)]
    parts = [
        np.array([_probabilities(scorer, sentence) for scorer in scorers])
        for sentence in map(list, sentences)
    ]
    mine, theirs = np.concatenate([np.zeros((2, 0)), *(p.reshape(2, -1) for p in parts)], axis=1)
    known = (mine > 0) | (theirs > 0)
    mine, theirs = mine[known], theirs[known]
    if not len(mine):
        raise LanguageModelError("the held-out part of the text has no word that is known")
    weight = 0.5
    for _ in range(_ROUNDS):
        share = weight * mine
        better = float((share / (share + (1 - weight) * theirs)).mean())
        better = min(max(better, _LEAST_WEIGHT), 1 - _LEAST_WEIGHT)
        done = abs(better - weight) < _SMALLEST_CHANGE
        weight = better
        if done:
            break
    return TunedWeight(weight, len(mine))


def _probabilities(scorer: Scorer, sentence: list[str]) -> Doubles:
    """Return p of each word and of the end; 0 for words outside the vocabulary."""
    known = scorer.ids([*sentence, "</s>"]) != UNKNOWN_ID
    logs = scorer.log_probabilities(sentence).astype(np.float64)
    return np.where(known, np.exp(logs), 0.0)


def mix(first: ArpaModel, second: ArpaModel, weight: float) -> ArpaModel:
    """Return the mixture of two models, over the words of both.

    Args:
        first: with ``weight``.
        second: with the rest; its words come first.
        weight: above 0 and below 1.
    """
    numbers = {word: number for number, word in enumerate(second.vocabulary)}
    for word in first.vocabulary:
        numbers.setdefault(word, len(numbers))
    vocabulary = list(numbers)
    of_first = np.array([numbers[word] for word in first.vocabulary], np.int32)
    of_second = np.arange(len(second.vocabulary), dtype=np.int32)
    models = ((first, of_first, weight), (second, of_second, 1 - weight))
    levels = _union([(model.levels, own) for model, own, _ in models], len(vocabulary))
    for model, own, share in models:
        _add(levels, model, own, len(vocabulary), share)
    return ArpaModel(vocabulary, _finished(levels))


def _union(models: Sequence[tuple[Sequence[Level], Ints]], vocabulary: int) -> list[Level]:
    """Return the n-grams that any of ``models`` has, with probability 0 (not its logarithm).

    Args:
        models: levels, and the new number of each word.
        vocabulary: how many words there are.
    """
    words = np.arange(vocabulary, dtype=np.int32)
    levels = [_level(np.zeros(vocabulary, np.int64), words)]
    rows = [own.astype(np.int64) for _, own in models]  # of the n-grams of each, one order below
    for order in range(1, max(len(given) for given, _ in models)):
        found: list[Rows] = []
        for (given, own), below in zip(models, rows, strict=True):
            if order < len(given):
                found.append(
                    keys(below[given[order].contexts], own[given[order].words], vocabulary)
                )
            else:
                found.append(np.zeros(0, np.int64))
        union = np.unique(np.concatenate(found))
        levels.append(_level(union // vocabulary, (union % vocabulary).astype(np.int32)))
        rows = [np.searchsorted(union, each) for each in found]
    return levels


def _level(contexts: Rows, words: Ints) -> Level:
    nothing = np.zeros(len(words), np.float32)
    return Level(contexts.astype(np.int32), words, nothing, nothing.copy())


def _add(
    levels: Sequence[Level], model: ArpaModel, own: Ints, vocabulary: int, share: float
) -> None:
    """Add to all n-grams of ``levels`` their probability by ``model``, times ``share``."""
    ids = np.full(vocabulary, -1, np.int32)
    ids[own] = np.arange(len(own), dtype=np.int32)
    for level, words in zip(levels, word_ids(levels), strict=True):
        mine = ids[words]
        known = mine[:, -1] >= 0  # other words are impossible
        contexts = np.where(mine < 0, UNKNOWN_ID, mine)
        logs = last_word(model.tables, np.ascontiguousarray(contexts, np.int32)).astype(np.float64)
        level.probabilities[:] += np.where(known, share * np.exp(logs), 0.0).astype(np.float32)


@compiled()
def last_word(tables: NGramTables, words: Ints) -> Floats:
    """Return ln p of the last of the words of each n-gram, ``(n-grams, order)``, given the others.

    An unknown word in the context ends it: what is before has no influence.
    """
    found = np.empty(len(words), np.float32)
    for row in range(len(words)):
        state = 0
        for place in range(words.shape[1] - 1):
            _, state = score_word(tables, state, words[row, place])
        found[row], _ = score_word(tables, state, words[row, words.shape[1] - 1])
    return found


def _finished(levels: Sequence[Level]) -> list[Level]:
    """Return ``levels`` with logarithms of their probabilities, and with back-off weights."""
    done: list[Level] = []
    for level, words in zip(levels, word_ids(levels), strict=True):
        p = level.probabilities.astype(np.float64)
        if done:
            lower = np.exp(last_word(build_tables(done), words[:, 1:].copy()).astype(np.float64))
            contexts = len(done[-1].words)
            rest = 1 - np.bincount(level.contexts, p, contexts)
            rest_lower = 1 - np.bincount(level.contexts, lower, contexts)
            logs = np.log(np.maximum(rest, _LEAST_REST) / np.maximum(rest_lower, _LEAST_REST))
            backoffs = np.clip(logs, LEAST_LOG, LARGEST_BACKOFF_LOG)
            backoffs[np.bincount(level.contexts, minlength=contexts) == 0] = 0.0
            done[-1] = done[-1]._replace(backoffs=backoffs.astype(np.float32))
        with np.errstate(divide="ignore"):
            logarithms = np.clip(np.log(p), LEAST_LOG, 0.0).astype(np.float32)
        if not done:
            logarithms[BOS_ID] = 0.0  # as the estimators have it; it is never predicted
        done.append(level._replace(probabilities=logarithms))
    return done
