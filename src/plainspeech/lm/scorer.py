"""Scorers: a language model with its vocabulary and weights, and its perplexity on a text."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, Union

import numpy as np
import numpy.typing as npt

from plainspeech.artifact.reading import Read, from_memory, reading
from plainspeech.compiling.lazy import compiled
from plainspeech.compiling.machine_code import machine_code
from plainspeech.errors import ConfigurationError, LanguageModelError, wrong_type
from plainspeech.lm.arpa import ArpaModel, is_arpa, read_arpa
from plainspeech.lm.kenlm_binary import is_kenlm_binary
from plainspeech.lm.neural import NeuralModel, require_words
from plainspeech.lm.package import ALPHA, BETA, SCORER, read_package
from plainspeech.lm.tables import (
    EOS_ID,
    SPECIAL_WORDS,
    UNKNOWN_ID,
    Floats,
    Ints,
    NGramTables,
    score_word,
)

if TYPE_CHECKING:
    from plainspeech.lm.kenlm import KenLMTables

Tables: TypeAlias = Union[NGramTables, "KenLMTables"]
"""N-grams, the first argument of `plainspeech.lm.tables.score_word`."""


class NGramLanguageModel(Protocol):
    """A vocabulary, n-grams over it, and their weights; `plainspeech.lm.scorer.Scorer` is one."""

    @property
    def vocabulary(self) -> Sequence[str]:
        """The special words, then the others; the id of a word is its index."""

    @property
    def tables(self) -> Tables:
        """N-grams over the ids."""

    @property
    def order(self) -> int:
        """The longest n-grams, in words."""

    @property
    def alpha(self) -> float:
        """Weight of the language model in the search, unless the caller gives another."""

    @property
    def beta(self) -> float:
        """Bonus for each word in the search, nats, unless the caller gives another."""


@dataclass(frozen=True)
class Scorer:
    """A language model, and its weights in the decoder.

    Attributes:
        vocabulary: ``<unk>``, ``<s>``, ``</s>`` and the words; an id is a place in it.
        tables: the model, for `plainspeech.lm.tables.score_word`.
        order: of the longest n-grams, in words.
        alpha: weight of the natural logarithms of the probabilities.
        beta: bonus for each word, nats.
        source: origin of the model.
        neural: a recurrent model of the same words, which scores whole texts; None without one.
        neural_weight: its share in the score of a text, from 0 to 1, in place of the n-grams'.

    Raises:
        LanguageModelError: it has a recurrent model and is over characters, or queries KenLM.
    """

    vocabulary: Sequence[str]
    tables: Tables = field(repr=False)
    order: int
    alpha: float = ALPHA
    beta: float = BETA
    source: Mapping[str, Any] = field(default_factory=dict)
    neural: NeuralModel | None = field(default=None, repr=False)
    neural_weight: float = 0.0

    def __post_init__(self) -> None:
        if self.neural is None:
            return
        require_words(self.vocabulary, "scorer")
        if not isinstance(self.tables, NGramTables):
            raise LanguageModelError(
                "scorer: queries KenLM; a recurrent language model needs flattened n-grams beside "
                "it, as plainspeech lm package makes them"
            )

    @classmethod
    def load(cls, path: str | Path) -> Scorer:
        """Load the scorer ``path``: a folder, a zip, or an ARPA file, which may be gzipped.

        Raises:
            ConfigurationError: ``path`` is no path.
            LanguageModelError: ``path`` is not a scorer or has another format version, one of its
                files is missing or damaged, or it has a recurrent model and is over characters.
        """
        if not isinstance(path, str | os.PathLike):
            raise ConfigurationError(wrong_type("path", path, "name a scorer by its path"))
        path = Path(path)
        if is_arpa(path):
            return cls.from_arpa(path)
        if is_kenlm_binary(path):
            raise LanguageModelError(
                f"{path}: is a KenLM binary, whose words cannot be read; package it with a list of "
                f"them: plainspeech lm package {path} --words WORDS -o SCORER"
            )
        with reading(path, SCORER) as read:
            return cls._read(path, read)

    @classmethod
    def from_files(cls, origin: Path, files: Mapping[str, bytes]) -> Scorer:
        """Load the scorer of ``files``, by their names; ``origin`` is its name in messages.

        Raises:
            LanguageModelError: as `load`.
        """
        return cls._read(origin, from_memory(origin, SCORER, files))

    @classmethod
    def _read(cls, origin: Path, read: Read) -> Scorer:
        package = read_package(origin, read)
        if isinstance(package.model, Path):
            scorer = cls.from_kenlm(package.model, package.vocabulary[len(SPECIAL_WORDS) :])
        else:
            scorer = cls(package.vocabulary, package.model, package.order)
        return replace(
            scorer,
            alpha=package.alpha,
            beta=package.beta,
            source=package.source,
            neural=package.neural,
            neural_weight=package.neural_weight,
        )

    @classmethod
    def from_arpa(cls, path: str | Path) -> Scorer:
        """Make a scorer of an ARPA file, which may be gzipped.

        Raises:
            LanguageModelError: the file cannot be read, is truncated or not ARPA.
        """
        return cls.from_model(read_arpa(Path(path)))

    @classmethod
    def from_model(cls, model: ArpaModel) -> Scorer:
        """Make a scorer of a model in memory."""
        return cls(model.vocabulary, model.tables, len(model.levels))

    @classmethod
    def from_kenlm(cls, path: str | Path, words: Sequence[str]) -> Scorer:
        """Make a scorer that queries KenLM.

        Args:
            path: an ARPA file or a KenLM binary.
            words: that the decoder may write.

        Raises:
            LanguageModelError: KenLM cannot read the file.
        """
        # Imported here, for it imports numba.
        from plainspeech.lm.kenlm import KenLMModel

        vocabulary = list(dict.fromkeys((*SPECIAL_WORDS, *words)))
        model = KenLMModel(Path(path), vocabulary)
        return cls(vocabulary, model.tables(), model.order)

    @property
    def words(self) -> Sequence[str]:
        """The vocabulary without the special words."""
        return self.vocabulary[len(SPECIAL_WORDS) :]

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: index for index, word in enumerate(self.vocabulary)}

    def ids(self, words: Iterable[str]) -> Ints:
        """Return the ids of ``words``, UNKNOWN_ID for those outside the vocabulary."""
        return np.array([self._ids.get(word, UNKNOWN_ID) for word in words], np.int32)

    def log_probabilities(self, words: Sequence[str], bos: bool = True, eos: bool = True) -> Floats:
        """Return the natural logarithm of the probability of each word, given those before it.

        Args:
            words: of a sentence.
            bos: the sentence begins with them.
            eos: the sentence ends with them; its end is one more word.
        """
        ids = self.ids([*words, SPECIAL_WORDS[EOS_ID]] if eos else words)
        return score_words(self.tables, int(self.tables.bos_state) if bos else 0, ids)

    def score(self, words: Sequence[str], bos: bool = True, eos: bool = True) -> float:
        """Return the sum of `log_probabilities`."""
        return float(self.log_probabilities(words, bos, eos).sum(dtype=np.float64))


@compiled()
def score_words(tables: Any, state: int, words: Ints) -> Floats:
    """Return ln p of each of ``words`` given those before it and ``state``."""
    log_probabilities = np.empty(len(words), np.float32)
    for place, word in enumerate(words):
        log_probabilities[place], state = score_word(tables, state, word)
    return log_probabilities


class SentenceTables:
    """Scores sentences, ids of words, with the tables of an n-gram model.

    Unlike `score_words` it takes no numba where the machine code is on disk.

    Args:
        tables: the first argument of `score_word`.
    """

    def __init__(self, tables: Tables) -> None:
        ids, logs = np.empty(0, np.int32), np.empty(0)
        self._tables = tables
        self._score = machine_code(_score_sentences, tables, ids, ids, 0, logs, ids)

    def begin(self) -> int:
        """Return the state at the beginning of a sentence."""
        return int(self._tables.bos_state)

    def log_probabilities(
        self, sentences: Sequence[Sequence[int]], begun: int, ended: bool
    ) -> list[float]:
        """Return ln p of each of ``sentences``, which go on from a state, and may end."""
        end = (EOS_ID,) if ended else ()
        found: list[float] = self._scored([(*each, *end) for each in sentences], begun)[0].tolist()
        return found

    def after(self, before: int, words: Sequence[int]) -> int:
        """Return the state after some more words."""
        return int(self._scored([words], before)[1][0])

    def _scored(
        self, parts: Sequence[Sequence[int]], begun: int
    ) -> tuple[npt.NDArray[np.float64], Ints]:
        words = np.array([word for each in parts for word in each], np.int32)
        ends = np.cumsum([len(each) for each in parts], dtype=np.int32)
        totals, states = np.empty(len(parts)), np.empty(len(parts), np.int32)
        self._score(self._tables, words, ends, begun, totals, states)
        return totals, states


@compiled(error_model="numpy", _nrt=False)
def _score_sentences(
    tables: Any, words: Ints, ends: Ints, start: int, totals: Any, states: Ints
) -> None:
    place = 0
    for sentence in range(len(ends)):
        total, state = 0.0, start
        while place < ends[sentence]:
            log_probability, state = score_word(tables, state, words[place])
            total += log_probability
            place += 1
        totals[sentence], states[sentence] = total, state


@dataclass(frozen=True)
class Prediction:
    """The prediction of a text by a model.

    Attributes:
        words: how many there are, without the ends of sentences.
        unknown: how many of them are not in the vocabulary.
        predicted: number of known words and ends of sentences.
        log_probability: natural logarithm of the probability of what was predicted. Unknown words
            are left out of it: they would count by the size of the vocabulary, not by the model.
    """

    words: int
    unknown: int
    predicted: int
    log_probability: float

    @property
    def perplexity(self) -> float:
        """Of the known words and the ends of sentences; not a number where there are none."""
        if not self.predicted:
            return math.nan
        return math.exp(-self.log_probability / self.predicted)

    @property
    def unknown_rate(self) -> float:
        """Share of the words that are not in the vocabulary."""
        return self.unknown / self.words if self.words else math.nan


def predict(scorer: Scorer, sentences: Iterable[Sequence[str]]) -> Prediction:
    """Predict the words of ``sentences`` and the end of each."""
    words, unknown, predicted, log_probability = 0, 0, 0, 0.0
    for sentence in sentences:
        known = scorer.ids([*sentence, "</s>"]) != UNKNOWN_ID
        words += len(sentence)
        unknown += int((~known).sum())
        predicted += int(known.sum())
        log_probability += float(scorer.log_probabilities(sentence)[known].sum(dtype=float))
    return Prediction(words, unknown, predicted, log_probability)
