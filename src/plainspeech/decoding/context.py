"""The context of a search: settings, lexicon, language model and hot words, as arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from plainspeech.alphabet import Alphabet
from plainspeech.arrays import Array
from plainspeech.decoding.calibration import (
    WITH_LANGUAGE_MODEL,
    WITHOUT_LANGUAGE_MODEL,
    Calibration,
)
from plainspeech.decoding.hot_words import build_hot_words
from plainspeech.decoding.kernels.compiled import CompiledKernels, compile_kernels
from plainspeech.decoding.kernels.records import (
    CHARACTER_MODEL,
    NO_MODEL,
    NONE,
    WORD_MODEL,
    Ints,
    SearchParameters,
    Trie,
)
from plainspeech.decoding.lexicon import build_lexicon, check_probabilities
from plainspeech.decoding.priors import divide_by_priors
from plainspeech.decoding.rescoring import Rescoring
from plainspeech.decoding.settings import BeamSettings
from plainspeech.decoding.spoken import SpokenWords
from plainspeech.decoding.validation import own_columns, validated
from plainspeech.errors import ConfigurationError, LanguageModelError
from plainspeech.lm.scorer import NGramLanguageModel, Tables
from plainspeech.lm.tables import (
    SPECIAL_WORDS,
    UNKNOWN_ID,
    Level,
    NGramTables,
    build_tables,
    score_word,
)
from plainspeech.lm.vocabulary import is_over_characters

_SPACE_NAME = "|"  # a space in the vocabulary of a language model over characters


@dataclass(frozen=True)
class SearchContext:
    """The inputs of a search besides the log-probabilities.

    Attributes:
        alphabet: of the log-probabilities.
        frame_seconds: from one frame to the next.
        parameters: thresholds and weights.
        weighted_log_priors: ``(symbols,)`` that log-probabilities are reduced by; None for none.
        lexicon: words.
        tables: the language model.
        hot_words: their trie.
        kernels: the search itself.
        calibration: turns the evidence for a word into its confidence.
        spoken: the words of a search over phones; None for one over letters.
        expected: hot words of a search over phones, with their weights, by how they sound.
        columns: of what the search is given that are its log-probabilities.
        rescoring: of the texts in the end; None without a recurrent language model.
    """

    alphabet: Alphabet
    frame_seconds: float
    parameters: SearchParameters
    weighted_log_priors: Array | None
    lexicon: Trie
    tables: Tables
    hot_words: Trie
    kernels: CompiledKernels
    calibration: Calibration
    spoken: SpokenWords | None = None
    expected: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    columns: slice | None = None
    rescoring: Rescoring | None = None

    def validated(self, log_probabilities: npt.ArrayLike) -> Array:
        """Return what the search takes of what it is given.

        Raises:
            DecodingError: these are no log-probabilities over the alphabet.
        """
        return validated(own_columns(log_probabilities, self.columns), self.alphabet.size)

    def words(
        self, texts: Sequence[str], begun: int | None = None, ended: bool = True
    ) -> list[list[str]]:
        """Return the words of each of ``texts``, which are in the alphabet of the search.

        Args:
            texts: what was said.
            begun: state of the language model that they go on from; None for the beginning of a
                sentence.
            ended: whether they are whole; of a search over phones that are not, a last word that
                is none is left out.
        """
        if self.spoken is None:
            return [text.split(" ") if text else [] for text in texts]
        ended = ended and self.parameters.sentence_end
        return self.spoken.written(texts, self.expected, self._state(begun), ended)

    def settled(self, text: str, begun: int | None = None) -> list[str]:
        """Return the words of ``text``, which are whole, that stay whatever follows them.

        Args:
            text: what was said.
            begun: state of the language model that it goes on from; None for the beginning of a
                sentence.
        """
        if self.spoken is None:
            return self.words([text])[0]
        return self.spoken.settled(text, self.expected, self._state(begun))

    def _state(self, begun: int | None) -> int:
        return int(self.tables.bos_state) if begun is None else begun

    def scaled_likelihoods(self, rows: Array) -> Array:
        """Return what the search sees of log-probabilities: divided by priors, if it has any."""
        if self.weighted_log_priors is None:
            return rows
        return divide_by_priors(rows, self.weighted_log_priors)

    def with_settings(
        self, settings: BeamSettings, scorer: NGramLanguageModel | None
    ) -> SearchContext:
        """Return the same context with other settings and no hot words."""
        parameters = _parameters(settings, self.alphabet, scorer, self.spoken is not None)
        return replace(
            self,
            parameters=parameters._replace(sentence_end=self.parameters.sentence_end),
            weighted_log_priors=_weighted_log_priors(settings, self.alphabet),
            hot_words=build_hot_words({}, self.alphabet),
            expected={},
            calibration=_calibration(settings, scorer),
        )

    def with_hot_words(self, weights: Mapping[str, float]) -> SearchContext:
        """Return the same context with hot words, which are validated."""
        if not weights:
            return self
        if self.spoken is None:
            return replace(self, hot_words=build_hot_words(weights, self.alphabet))
        said = {way: nats for text, nats in weights.items() for way in self.spoken.spoken(text)}
        shares: dict[str, float] = {}
        for phrase, nats in weights.items():
            words = phrase.split()
            for word in words if nats > 0 or len(words) == 1 else ():
                shares[word] = max(shares.get(word, -math.inf), nats / len(words))
        return replace(
            self,
            hot_words=build_hot_words(said, self.alphabet),
            expected=self.spoken.by_sound(shares),
        )


def prepare_context(
    alphabet: Alphabet,
    scorer: NGramLanguageModel | None,
    frame_seconds: float,
    settings: BeamSettings,
    spoken: SpokenWords | None = None,
    columns: slice | None = None,
) -> SearchContext:
    """Return the context of a search without hot words; compile the kernels if necessary.

    Args:
        alphabet: of the log-probabilities; that of ``spoken`` where there is one.
        scorer: the language model; None without one.
        frame_seconds: from one frame to the next.
        settings: of the search.
        spoken: its words, where the search is over phones.
        columns: of what the search is given that are its log-probabilities.

    Raises:
        ConfigurationError: the settings need a scorer, or are for another number of symbols.
        LanguageModelError: alphabet and scorer do not fit.
    """
    parameters = _parameters(settings, alphabet, scorer, spoken is not None)
    tables = scorer.tables if scorer else _no_model()
    if scorer:
        check_probabilities(scorer)
    if spoken:
        lexicon = spoken.lexicon
    else:
        words = _words(scorer) if scorer and parameters.mode == WORD_MODEL else []
        lexicon = build_lexicon(words, len(SPECIAL_WORDS), alphabet, tables)
    hot_words = build_hot_words({}, alphabet)
    kernels = compile_kernels(parameters, lexicon, tables, hot_words)
    calibration = _calibration(settings, scorer)
    return SearchContext(
        alphabet,
        frame_seconds,
        parameters,
        _weighted_log_priors(settings, alphabet),
        lexicon,
        tables,
        hot_words,
        kernels,
        calibration,
        spoken,
        columns=columns,
    )


def _parameters(
    settings: BeamSettings, alphabet: Alphabet, scorer: NGramLanguageModel | None, spoken: bool
) -> SearchParameters:
    mode = model_mode(alphabet, scorer)
    if mode == NO_MODEL and settings.merge == "state":
        raise ConfigurationError("merge is 'state', which needs a scorer; use 'prefix'")
    # Above this probability of the blank, all others are below `token_floor`, or beyond
    # `cutoff_prob`.
    certain = min(-math.expm1(settings.token_floor), max(settings.cutoff_prob, 0.5))
    return SearchParameters(
        mode=mode,
        blank=alphabet.blank_id,
        space=alphabet.encode(" ")[0] if " " in alphabet.symbols else NONE,
        beam_width=settings.beam_width,
        beam_threshold_ratio=math.exp(-settings.beam_threshold),
        token_floor=float(settings.token_floor),
        blank_threshold=math.log(certain) if certain < 1.0 else math.inf,
        cutoff_prob=float(settings.cutoff_prob),
        cutoff_top_n=settings.cutoff_top_n,
        alpha=float(settings.alpha),
        beta=float(settings.beta),
        # What sounds like no word of the lexicon cannot be written.
        unknown_word_penalty=0.0 if spoken else float(settings.unknown_word_penalty),
        unknown_look_ahead=settings.alpha * _unknown(scorer.tables) if scorer else 0.0,
        sentence_end=True,
        merge_by_state=settings.merge == "state",
        character_ids=(
            character_ids(alphabet, scorer)
            if scorer and mode == CHARACTER_MODEL
            else np.zeros(0, np.int32)
        ),
    )


def _weighted_log_priors(settings: BeamSettings, alphabet: Alphabet) -> Array | None:
    if settings.log_priors is None or not settings.prior_weight:
        return None
    if len(settings.log_priors) != alphabet.size:
        raise ConfigurationError(
            f"log_priors has {len(settings.log_priors)} values; the alphabet, its blank included, "
            f"has {alphabet.size} symbols"
        )
    return np.float32(settings.prior_weight) * np.array(settings.log_priors, np.float32)


def _calibration(settings: BeamSettings, scorer: NGramLanguageModel | None) -> Calibration:
    default = WITH_LANGUAGE_MODEL if scorer else WITHOUT_LANGUAGE_MODEL
    return settings.calibration or default


def model_mode(alphabet: Alphabet, scorer: NGramLanguageModel | None) -> int:
    """Return `NO_MODEL`, `WORD_MODEL` or `CHARACTER_MODEL`.

    Raises:
        LanguageModelError: the language model is over words, which the alphabet cannot part.
    """
    if scorer is None:
        return NO_MODEL
    if is_over_characters(scorer.vocabulary):
        return CHARACTER_MODEL
    if " " not in alphabet.symbols:
        raise LanguageModelError(
            "scorer: its vocabulary is words, but the alphabet has no space to separate them"
        )
    return WORD_MODEL


def _unknown(tables: Tables) -> float:
    """Return ln p of a word outside the vocabulary."""
    if isinstance(tables, NGramTables):  # without loading machine code for one number
        return float(tables.unigrams[UNKNOWN_ID])
    return float(score_word(tables, 0, UNKNOWN_ID)[0])


def _words(scorer: NGramLanguageModel) -> Sequence[str]:
    return scorer.vocabulary[len(SPECIAL_WORDS) :]


def character_ids(alphabet: Alphabet, scorer: NGramLanguageModel) -> Ints:
    """Return the id of each symbol in the vocabulary of a language model over characters."""
    ids = {word: index for index, word in enumerate(scorer.vocabulary) if len(word) == 1}
    names = [_SPACE_NAME if symbol == " " else symbol for symbol in alphabet.symbols]
    return np.array([ids.get(name, UNKNOWN_ID) for name in names], np.int32)


def _no_model() -> NGramTables:
    count = len(SPECIAL_WORDS)
    zeros, none = np.zeros(count, np.float32), np.zeros(count, np.int32)
    return build_tables([Level(none, np.arange(count, dtype=np.int32), zeros, zeros)])
