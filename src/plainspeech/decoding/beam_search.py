"""CTC beam search for the log-probabilities of any model."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from plainspeech.alphabet import Alphabet
from plainspeech.arrays import Array
from plainspeech.cores import in_threads
from plainspeech.decoding.calibration import Calibration, Evidence
from plainspeech.decoding.hot_words import HotWords, validated_hot_words
from plainspeech.decoding.results import Hypothesis, RescoredText
from plainspeech.decoding.settings import BeamSettings, Merge
from plainspeech.decoding.validation import require_count, require_frame_seconds
from plainspeech.errors import ConfigurationError, wrong_type
from plainspeech.pronunciations import Pronunciations
from plainspeech.transcript import Transcript

if TYPE_CHECKING:
    from plainspeech.decoding.context import SearchContext
    from plainspeech.decoding.rescoring import Rescoring, RescoringModels
    from plainspeech.decoding.spoken import SpokenWords
    from plainspeech.decoding.stream import BeamStream
    from plainspeech.lm.scorer import NGramLanguageModel

_T = TypeVar("_T")


class BeamSearchDecoder:
    """CTC prefix beam search, with or without a language model; threads may share one.

    Example:
        >>> decoder = BeamSearchDecoder(ENGLISH, Scorer.load("scorer"), frame_seconds=0.03)
        >>> decoder.decode(log_probabilities, hot_words={"plain speech": 8.0}).text

    Log-probabilities are ``(frames, symbols)`` arrays of natural logarithms, the blank last. Hot
    words are nats for words and phrases, for one call; positive ones need not be in the lexicon.

    Attributes:
        alphabet: of the log-probabilities.
        scorer: the language model; None without one.
        frame_seconds: from one frame to the next.
        settings: thresholds and weights.
    """

    def __init__(
        self,
        alphabet: Alphabet,
        scorer: NGramLanguageModel | None = None,
        *,
        frame_seconds: float = 0.02,
        alpha: float | None = None,
        beta: float | None = None,
        beam_width: int = BeamSettings.beam_width,
        beam_threshold: float = BeamSettings.beam_threshold,
        cutoff_prob: float = BeamSettings.cutoff_prob,
        cutoff_top_n: int = BeamSettings.cutoff_top_n,
        token_floor: float = BeamSettings.token_floor,
        unknown_word_penalty: float = BeamSettings.unknown_word_penalty,
        prior_weight: float = BeamSettings.prior_weight,
        log_priors: Sequence[float] | None = None,
        merge: Merge | None = None,
        calibration: Calibration | None = None,
        neural_weight: float | None = None,
        pronunciations: Pronunciations | SpokenWords | None = None,
        columns: slice | None = None,
        fallback: Callable[[], BeamSearchDecoder] | None = None,
    ) -> None:
        """Prepare to decode.

        Args:
            alphabet: of the log-probabilities; without a space in it, words are not separated.
            scorer: a language model over words, which is also the lexicon, or over characters,
                if all its words are of one character (``"|"`` is the space); None for none.
            frame_seconds: from one frame to the next.
            alpha: `BeamSettings` explains this and all that follow; by default the scorer's.
            beta: by default the scorer's.
            beam_width: most hypotheses after a frame.
            beam_threshold: nats below the best at which hypotheses are dropped.
            cutoff_prob: probability that the symbols considered in a frame have together.
            cutoff_top_n: most symbols considered in a frame.
            token_floor: least log-probability of a symbol considered.
            unknown_word_penalty: nats for a word outside the lexicon; 0 forbids them.
            prior_weight: power of the symbols' priors that each frame is divided by.
            log_priors: their natural logarithms, the blank last.
            merge: ``"state"``, the default with a scorer, or ``"prefix"``, without one.
            calibration: computes the confidences; by default one fitted to the bundled model.
            neural_weight: by default the scorer's; 0 where it has no recurrent language model.
            pronunciations: of the scorer's words, or these words by how they sound: the
                log-probabilities are then over the boundary of words, the phones and the blank, and
                ``alphabet`` is that of the texts alone. Words without a pronunciation are not
                found, and unknown ones are forbidden.
            columns: of what it is given that are its log-probabilities; the others are left alone.
            fallback: makes the decoder over letters that takes over, in a search over phones, where
                hot words have no pronunciation; without one they are an error.

        Raises:
            ConfigurationError: a setting is out of range, or an argument of another type.
            LanguageModelError: alphabet and scorer do not fit, or no word of the scorer has a
                pronunciation.
        """
        from plainspeech.decoding.context import prepare_context

        if not isinstance(alphabet, Alphabet):
            raise ConfigurationError(
                wrong_type("alphabet", alphabet, "pass an Alphabet, such as ENGLISH")
            )
        if isinstance(scorer, str | os.PathLike):
            raise ConfigurationError(f"scorer: is a path; pass Scorer.load({os.fspath(scorer)!r})")
        if not (scorer is None or hasattr(scorer, "vocabulary")):
            raise ConfigurationError(wrong_type("scorer", scorer, "pass a Scorer, or None"))
        if not (log_priors is None or isinstance(log_priors, Iterable)):
            raise ConfigurationError(wrong_type("log_priors", log_priors, "pass a list of numbers"))
        self.alphabet = alphabet
        self.scorer = scorer
        self.frame_seconds = require_frame_seconds(frame_seconds)
        self._models = _rescoring_models(scorer, alphabet)
        if neural_weight is None:
            neural_weight = self._models.weight if self._models else 0.0
        self.settings = BeamSettings(
            alpha=alpha if alpha is not None else scorer.alpha if scorer else 0.0,
            beta=beta if beta is not None else scorer.beta if scorer else 0.0,
            beam_width=beam_width,
            beam_threshold=beam_threshold,
            cutoff_prob=cutoff_prob,
            cutoff_top_n=cutoff_top_n,
            token_floor=token_floor,
            unknown_word_penalty=unknown_word_penalty,
            prior_weight=prior_weight,
            log_priors=None if log_priors is None else tuple(log_priors),
            merge=merge or ("state" if scorer else "prefix"),
            calibration=calibration,
            neural_weight=neural_weight,
        )
        spoken = _spoken(pronunciations, scorer)
        symbols = spoken.alphabet if spoken else alphabet
        context = prepare_context(symbols, scorer, frame_seconds, self.settings, spoken, columns)
        self._context = replace(context, rescoring=_rescoring(self._models, self.settings))
        self._fallback = fallback
        self._latest: tuple[HotWords, SearchContext] = ({}, self._context)

    @property
    def spoken(self) -> SpokenWords | None:
        """The words of a search over phones; None for one over letters."""
        return self._context.spoken

    @property
    def description(self) -> str:
        """The width of the beam, its symbols, and the language models, for reports."""
        model = f"{self.scorer.order}-gram" if self.scorer else "no language model"
        if self.settings.neural_weight:
            model += " and recurrent model"
        over = " over phones" if self.spoken else ""
        return f"beam {self.settings.beam_width}{over}, {model}"

    def with_settings(self, **changes: Any) -> BeamSearchDecoder:
        """Return a decoder with other `BeamSettings`, which shares lexicon and scorer.

        Raises:
            ConfigurationError: a setting is out of range.
        """
        other = copy.copy(self)
        other.settings = replace(self.settings, **changes)
        other._context = replace(
            self._context.with_settings(other.settings, self.scorer),
            rescoring=_rescoring(self._models, other.settings),
        )
        other._latest = ({}, other._context)
        return other

    def within_sentence(self, state: int, ends: bool = True) -> BeamSearchDecoder:
        """Return a decoder of parts of sentences, which shares all with this one.

        A recurrent language model is left out: it scores whole sentences.

        Args:
            state: of the language model, where texts begin, as `plainspeech.lm.tables.score_word`
                returns it; 0 is the empty context.
            ends: whether the sentence ends with them.
        """
        other = copy.copy(self)
        other._context = replace(
            self._context,
            parameters=self._context.parameters._replace(sentence_end=ends),
            tables=self._context.tables._replace(bos_state=np.int32(state)),
            rescoring=None,
        )
        other._latest = ({}, other._context)
        return other

    def decode(
        self, log_probabilities: npt.ArrayLike, hot_words: HotWords | None = None
    ) -> Transcript:
        """Return the best text, with words, times and confidences.

        Raises:
            DecodingError: these are no log-probabilities over the alphabet, or no hot words.
        """
        return self._fed(log_probabilities, hot_words).finish()

    def decode_with_evidence(
        self, log_probabilities: npt.ArrayLike, hot_words: HotWords | None = None
    ) -> tuple[Transcript, Evidence]:
        """Return what `decode` does, and the evidence that the confidences are computed from.

        `fit_calibration` fits a `Calibration` to it, given which words are right.

        Raises:
            DecodingError: as `decode`.
        """
        return self._fed(log_probabilities, hot_words).finish_with_evidence()

    def decode_n_best(
        self, log_probabilities: npt.ArrayLike, count: int, hot_words: HotWords | None = None
    ) -> list[Hypothesis]:
        """Return the best texts, at most ``count``, the best first, with scores and characters.

        Raises:
            DecodingError: as `decode`.
            ConfigurationError: ``count`` is below 1.
        """
        require_count("count", count)
        return self._fed(log_probabilities, hot_words).finish_n_best(count)

    def decode_batch(
        self,
        utterances: Sequence[npt.ArrayLike],
        threads: int = 1,
        hot_words: HotWords | None = None,
    ) -> list[Transcript]:
        """Return what `decode` returns for each of ``utterances``, in order, from several threads.

        Raises:
            DecodingError: as `decode`.
            ConfigurationError: ``threads`` is below 1.
        """
        return self._each(utterances, threads, hot_words, lambda stream: stream.finish())

    def decode_n_best_batch(
        self,
        utterances: Sequence[npt.ArrayLike],
        count: int,
        threads: int = 1,
        hot_words: HotWords | None = None,
    ) -> list[list[Hypothesis]]:
        """Return what `decode_n_best` does for each of ``utterances``, as `decode_batch` does.

        Raises:
            DecodingError: as `decode`.
            ConfigurationError: ``count`` or ``threads`` is below 1.
        """
        require_count("count", count)
        return self._each(
            utterances, threads, hot_words, lambda stream: stream.finish_n_best(count)
        )

    def decode_rescored_batch(
        self, utterances: Sequence[npt.ArrayLike], threads: int = 1
    ) -> list[list[RescoredText]]:
        """Return the texts that a recurrent language model scores anew, of each of ``utterances``.

        Which one is the best at another `BeamSettings.neural_weight` follows from them. Without
        such a model it is the best text alone.

        Raises:
            DecodingError: as `decode`.
            ConfigurationError: ``threads`` is below 1.
        """
        return self._each(utterances, threads, None, lambda stream: stream.finish_rescored())

    def _each(
        self,
        utterances: Sequence[npt.ArrayLike],
        threads: int,
        hot_words: HotWords | None,
        finish: Callable[[BeamStream], _T],
    ) -> list[_T]:
        require_count("threads", threads)
        context = self._with_hot_words(hot_words)  # an error even without an utterance
        rows = [context.validated(utterance) for utterance in utterances]
        return in_threads(lambda one: finish(_fed(context, one)), rows, threads)

    def rescored(self, text: str) -> float:
        """Return the nats that a recurrent language model adds to the score of ``text``."""
        rescoring = self._context.rescoring
        return rescoring.gains([text.split()])[0] if rescoring else 0.0

    def scaled_likelihoods(self, log_probabilities: npt.ArrayLike) -> Array:
        """Return them as the search sees them, divided by priors: `plainspeech.decoding.priors`.

        Raises:
            DecodingError: as `decode`.
        """
        return self._context.scaled_likelihoods(self.validated(log_probabilities))

    def validated(self, log_probabilities: npt.ArrayLike) -> Array:
        """Return what the search takes of what it is given.

        Raises:
            DecodingError: as `decode`.
        """
        return self._context.validated(log_probabilities)

    def stream(self, hot_words: HotWords | None = None) -> BeamStream:
        """Begin an utterance that arrives block by block.

        Raises:
            DecodingError: these are no hot words.
        """
        from plainspeech.decoding.stream import BeamStream

        return BeamStream(self._with_hot_words(hot_words))

    def _fed(self, log_probabilities: npt.ArrayLike, hot_words: HotWords | None) -> BeamStream:
        context = self._with_hot_words(hot_words)
        return _fed(context, context.validated(log_probabilities))

    def _with_hot_words(self, hot_words: HotWords | None) -> SearchContext:
        """Return the context with ``hot_words``; that of the latest call is kept."""
        if hot_words is None:
            return self._context
        latest, context = self._latest
        if latest != hot_words:
            weights = validated_hot_words(hot_words, self.alphabet)
            spoken = self._context.spoken
            if self._fallback and spoken and any(map(spoken.lacks, weights)):
                context = self._fallback()._with_hot_words(weights)
            else:
                context = self._context.with_hot_words(weights)
            self._latest = (dict(hot_words), context)
        return context


def _rescoring_models(
    scorer: NGramLanguageModel | None, alphabet: Alphabet
) -> RescoringModels | None:
    from plainspeech.decoding.rescoring import RescoringModels
    from plainspeech.lm.scorer import Scorer

    if not isinstance(scorer, Scorer) or scorer.neural is None:
        return None
    return RescoringModels(scorer, alphabet)


def _rescoring(models: RescoringModels | None, settings: BeamSettings) -> Rescoring | None:
    from plainspeech.decoding.rescoring import Rescoring

    if not settings.neural_weight:
        return None
    if models is None:
        raise ConfigurationError(
            f"neural_weight is {settings.neural_weight:g}, which needs a scorer over words with a "
            f"recurrent language model; make one: plainspeech lm train SCORER TEXT -o SCORER2"
        )
    return Rescoring(models, settings.alpha * settings.neural_weight)


def _spoken(
    pronunciations: Pronunciations | SpokenWords | None, scorer: NGramLanguageModel | None
) -> SpokenWords | None:
    from plainspeech.decoding.spoken import SpokenWords

    if pronunciations is None:
        return None
    if scorer is None:
        raise ConfigurationError("a search over phones needs a scorer, for its words")
    if isinstance(pronunciations, Pronunciations):
        pronunciations = SpokenWords.of(pronunciations, scorer)
    elif pronunciations.tables is not scorer.tables:
        raise ConfigurationError("pronunciations: are those of the words of another scorer")
    pronunciations.check_coverage()
    return pronunciations


def _fed(context: SearchContext, rows: Array) -> BeamStream:
    """Return the stream of an utterance that is there, validated."""
    from plainspeech.decoding.stream import BeamStream

    stream = BeamStream(context)
    stream.feed_validated(rows, ends=True)
    return stream
