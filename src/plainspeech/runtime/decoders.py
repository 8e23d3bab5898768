"""Which decoder a model is used with, and with which language model."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy.typing as npt

from plainspeech.decoding.greedy import GreedyDecoder
from plainspeech.decoding.settings import BeamSettings
from plainspeech.decoding.validation import require_count
from plainspeech.errors import ConfigurationError, nearest
from plainspeech.runtime.bundle import Bundle, named_scorer
from plainspeech.transcript import Alternative, Transcript

if TYPE_CHECKING:
    from plainspeech.decoding.beam_search import BeamSearchDecoder
    from plainspeech.decoding.hot_words import HotWords
    from plainspeech.decoding.results import Hypothesis, PartialText
    from plainspeech.decoding.stream import BeamStream
    from plainspeech.lm.scorer import NGramLanguageModel, Scorer

DECODERS = ("greedy", "beam")

NO_LANGUAGE_MODEL = "none"
"""In place of the path of a scorer: the beam search uses none."""


class DecoderStream(Protocol):
    """Decodes one utterance block by block; where it is cut makes no difference."""

    def feed(self, log_probabilities: npt.ArrayLike) -> None:
        """Take the next frames, ``(frames, symbols)``, any number of them."""

    def partial(self) -> PartialText:
        """Return the text so far, and how much of it is final."""

    def finish(self) -> Transcript:
        """End the utterance and return its text."""


class Decoder(Protocol):
    """Turns log-probabilities into text; `plainspeech.decoding` has the two there are."""

    @property
    def description(self) -> str:
        """A few words for reports; decoders with the same description do the same."""

    def decode_batch(
        self,
        utterances: Sequence[npt.ArrayLike],
        threads: int = 1,
        hot_words: HotWords | None = None,
    ) -> list[Transcript]:
        """Return the text of each of ``utterances``, ``(frames, symbols)``, at least one frame."""

    def stream(self, hot_words: HotWords | None = None) -> DecoderStream:
        """Begin an utterance that arrives block by block."""


class LoadingDecoder:
    """A decoder that another thread is loading; whoever needs it first waits for it.

    Its errors are raised there, too.

    Args:
        decoder: that is being loaded.
    """

    def __init__(self, decoder: Future[Decoder]) -> None:
        self._decoder = decoder

    @property
    def description(self) -> str:
        """That of the decoder."""
        return self._decoder.result().description

    def decode_batch(
        self,
        utterances: Sequence[npt.ArrayLike],
        threads: int = 1,
        hot_words: HotWords | None = None,
    ) -> list[Transcript]:
        """Return what the decoder does."""
        return self._decoder.result().decode_batch(utterances, threads, hot_words)

    def stream(self, hot_words: HotWords | None = None) -> DecoderStream:
        """Begin an utterance that arrives block by block."""
        return self._decoder.result().stream(hot_words)


class NBest:
    """The beam search, with n-best lists.

    Args:
        decoder: the beam search.
        count: length of the lists, the best text included.
    """

    def __init__(self, decoder: BeamSearchDecoder, count: int) -> None:
        self._decoder = decoder
        self._count = count

    @property
    def description(self) -> str:
        """That of the search, with the length of the lists."""
        return f"{self._decoder.description}, {self._count}-best"

    def decode_batch(
        self,
        utterances: Sequence[npt.ArrayLike],
        threads: int = 1,
        hot_words: HotWords | None = None,
    ) -> list[Transcript]:
        """Return the best text of each of ``utterances``, with the n-best list of its segment."""
        lists = self._decoder.decode_n_best_batch(utterances, self._count, threads, hot_words)
        return [self._listed(hypotheses) for hypotheses in lists]

    def _listed(self, hypotheses: Sequence[Hypothesis]) -> Transcript:
        best = hypotheses[0].transcript
        n_best = (Alternative(each.transcript.text, each.score) for each in hypotheses)
        return Transcript.of_words(best.words, best.duration, n_best)

    def stream(self, hot_words: HotWords | None = None) -> BeamStream:
        """Begin an utterance that arrives block by block; its transcript has no n-best list."""
        return self._decoder.stream(hot_words)


def choose_decoder(
    bundle: Bundle,
    name: str | None = None,
    language_model: str | Path | None = None,
    n_best: int | None = None,
) -> Decoder:
    """Return the decoder for a model.

    Args:
        bundle: the model.
        name: ``"greedy"`` or ``"beam"``; by default the beam search where there is a scorer.
        language_model: a scorer in place of the bundle's, or ``"none"``; for the beam search only.
        n_best: length of the n-best lists; for the beam search only.

    Raises:
        ConfigurationError: there is no such decoder, or an option needs the other one.
        LanguageModelError: there is no such scorer, or it does not fit the model.
    """
    if name is not None and name not in DECODERS:
        raise ConfigurationError(f"unknown decoder {name!r}; {nearest(name, DECODERS)}")
    if name == "greedy" and language_model is not None:
        raise ConfigurationError(
            "language model: greedy decoding does not use one; choose decoder 'beam'"
        )
    if name == "greedy" or (name is None and language_model is None and not bundle.scorer_files):
        if n_best is not None:
            raise ConfigurationError(
                "n-best: greedy decoding gives one text; choose decoder 'beam'"
            )
        return GreedyDecoder(bundle.alphabet, bundle.frame_seconds, letters_of(bundle))
    if n_best is not None:
        require_count("n-best", n_best)
    search = _beam_search(bundle, language_model)
    return search if n_best is None else NBest(search, n_best)


def _beam_search(bundle: Bundle, language_model: str | Path | None) -> BeamSearchDecoder:
    from plainspeech.lm.scorer import Scorer

    settings = bundle.decoding
    if language_model is None:
        scorer = bundle.scorer()
    elif language_model == NO_LANGUAGE_MODEL:
        scorer = None
    else:
        scorer = Scorer.load(named_scorer(language_model))
        settings = replace(weighted(settings, scorer), calibration=None)
    if scorer is None:
        settings = replace(
            settings,
            alpha=0.0,
            beta=0.0,
            prior_weight=0.0,
            merge="prefix",
            calibration=None,
            neural_weight=0.0,
        )
    return search_of(bundle, scorer, settings)


def weighted(settings: BeamSettings, scorer: Scorer) -> BeamSettings:
    """Return ``settings`` with the weights that ``scorer`` has."""
    return replace(
        settings,
        alpha=scorer.alpha,
        beta=scorer.beta,
        neural_weight=scorer.neural_weight,
    )


_COVERED = 0.99
"""Share of a language model's words that must have a pronunciation for a search over phones."""


def letters_of(bundle: Bundle) -> slice | None:
    """Return the columns of the network's output that are over letters; None for all."""
    return slice(bundle.alphabet.size) if bundle.phones else None


def search_of(
    bundle: Bundle, scorer: NGramLanguageModel | None, settings: BeamSettings
) -> BeamSearchDecoder:
    """Return the beam search with a language model: over phones if the network hears them.

    Words that the lexicon lacks are converted from letters to phones. Over letters where there is
    no language model, or too few of its words have a pronunciation even so; and for a call with
    such hot words.

    Args:
        bundle: the model.
        scorer: the language model; None for none.
        settings: of the search.

    Raises:
        ModelError: the lexicon of the bundle is damaged.
        LanguageModelError: the language model does not fit the model.
    """
    from plainspeech.decoding.beam_search import BeamSearchDecoder
    from plainspeech.decoding.spoken import SpokenWords

    def search(columns: slice | None, size: int, **options: Any) -> BeamSearchDecoder:
        known = settings.log_priors
        if known is not None and len(known) != size:  # those of the other search
            options |= {"prior_weight": 0.0, "log_priors": None, "calibration": None}
        return BeamSearchDecoder(
            bundle.alphabet,
            scorer,
            frame_seconds=bundle.frame_seconds,
            columns=columns,
            **{**vars(settings), **options},
        )

    # Kept: the calls whose hot words need it may each have others.
    letters = cache(partial(search, letters_of(bundle), bundle.alphabet.size))
    lexicon = bundle.pronunciations() if scorer else None
    if scorer is None or lexicon is None:
        return letters()
    spoken = SpokenWords.of(lexicon, scorer)
    if spoken.coverage < _COVERED:
        return letters()
    phones = slice(bundle.alphabet.size, bundle.outputs)
    return search(phones, lexicon.size, pronunciations=spoken, fallback=letters)
