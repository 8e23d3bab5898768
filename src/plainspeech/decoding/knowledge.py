"""What a beam search goes by: settings, lexicon, language model and hot words, as arrays."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol, TypeAlias

import numpy as np

from plainspeech.alphabet import Alphabet
from plainspeech.decoding.hot_words import build_hot_words
from plainspeech.decoding.kernels.records import CHARACTERS, NONE, PLAIN, WORDS, Ints, Setup, Trie
from plainspeech.decoding.lexicon import build_lexicon
from plainspeech.decoding.settings import BeamSettings
from plainspeech.errors import PlainspeechError
from plainspeech.lm.kenlm import KenLMTables
from plainspeech.lm.tables import SPECIAL_WORDS, UNKNOWN_ID, Level, NGramTables, build_tables, score

Tables: TypeAlias = NGramTables | KenLMTables

_SPACE_NAME = "|"  # a space in the vocabulary of a language model over characters
_PATIENCE = 1.0  # seconds after which a compilation is worth a word


class LanguageModel(Protocol):
    """What a decoder asks of a scorer."""

    @property
    def vocabulary(self) -> Sequence[str]:
        """Words, the special ones first; a word's id is its place."""

    @property
    def tables(self) -> Tables:
        """N-grams over the ids."""

    @property
    def alpha(self) -> float:
        """Weight in the search, where no other is given."""

    @property
    def beta(self) -> float:
        """Nats a word in the search, where no others are given."""


@dataclass(frozen=True)
class Knowledge:
    """What a search goes by.

    Attributes:
        alphabet: of the log-probabilities.
        frame_seconds: from one frame to the next.
        setup: thresholds and weights.
        lexicon: words.
        tables: the language model.
        phrases: hot words.
    """

    alphabet: Alphabet
    frame_seconds: float
    setup: Setup
    lexicon: Trie
    tables: Tables
    phrases: Trie

    def with_settings(
        self, settings: BeamSettings, alphabet: Alphabet, scorer: LanguageModel | None
    ) -> Knowledge:
        """Return the same with other settings and no hot words."""
        phrases = build_hot_words({}, alphabet)
        return replace(self, setup=_setup(settings, alphabet, scorer), phrases=phrases)


def prepare(
    alphabet: Alphabet, scorer: LanguageModel | None, frame_seconds: float, settings: BeamSettings
) -> Knowledge:
    """Return what a search without hot words goes by; compile the search if need be.

    Raises:
        PlainspeechError: alphabet, scorer and settings do not fit.
    """
    setup = _setup(settings, alphabet, scorer)
    tables = scorer.tables if scorer else _no_model()
    words = _words(scorer) if scorer and setup.mode == WORDS else []
    known = Knowledge(
        alphabet=alphabet,
        frame_seconds=frame_seconds,
        setup=setup,
        lexicon=build_lexicon(words, len(SPECIAL_WORDS), alphabet, tables),
        tables=tables,
        phrases=build_hot_words({}, alphabet),
    )
    _compile_once()
    return known


def _setup(settings: BeamSettings, alphabet: Alphabet, scorer: LanguageModel | None) -> Setup:
    mode = _mode(alphabet, scorer)
    if mode == PLAIN and settings.merge == "state":
        raise PlainspeechError("merge is 'state', which needs a scorer; use 'prefix'")
    floor, mass = settings.token_floor, settings.cutoff_prob
    # Above this probability of the blank, all others are below the floor, or beyond the mass.
    certain = min(-math.expm1(floor), max(mass, 0.5))
    return Setup(
        mode=mode,
        blank=alphabet.blank_id,
        space=alphabet.encode(" ")[0] if " " in alphabet.symbols else NONE,
        width=settings.beam_width,
        ratio=math.exp(-settings.beam_threshold),
        floor=float(floor),
        skip=math.log(certain) if certain < 1.0 else math.inf,
        mass=float(mass),
        top=settings.cutoff_top_n,
        alpha=float(settings.alpha),
        beta=float(settings.beta),
        penalty=float(settings.unknown_word_penalty),
        unknown=settings.alpha * _unknown(scorer.tables) if scorer else 0.0,
        by_state=settings.merge == "state",
        tokens=_tokens(alphabet, scorer) if scorer else np.zeros(0, np.int32),
    )


def _mode(alphabet: Alphabet, scorer: LanguageModel | None) -> int:
    if scorer is None:
        return PLAIN
    if all(len(word) == 1 for word in _words(scorer)):
        return CHARACTERS
    if " " not in alphabet.symbols:
        raise PlainspeechError("scorer: is one of words, and the alphabet has no space")
    return WORDS


def _unknown(tables: Tables) -> float:
    """Return ln p of a word outside the vocabulary."""
    return float(score(tables, 0, UNKNOWN_ID)[0])


def _words(scorer: LanguageModel) -> Sequence[str]:
    return scorer.vocabulary[len(SPECIAL_WORDS) :]


def _tokens(alphabet: Alphabet, scorer: LanguageModel) -> Ints:
    """Return the id of each symbol in the vocabulary of a language model over characters."""
    ids = {word: index for index, word in enumerate(scorer.vocabulary) if len(word) == 1}
    names = [_SPACE_NAME if symbol == " " else symbol for symbol in alphabet.symbols]
    return np.array([ids.get(name, UNKNOWN_ID) for name in names], np.int32)


def _no_model() -> NGramTables:
    count = len(SPECIAL_WORDS)
    zeros, none = np.zeros(count, np.float32), np.zeros(count, np.int32)
    return build_tables([Level(none, np.arange(count, dtype=np.int32), zeros, zeros)])


@cache
def _compile_once() -> None:
    """Run every kernel once; the first time on a machine takes seconds, later ones do not."""
    from plainspeech.decoding.stream import BeamStream

    alphabet = Alphabet((" ", "a"))
    setup = _setup(BeamSettings(merge="prefix"), alphabet, None)
    trie = build_lexicon([], 0, alphabet, _no_model())
    phrases = build_hot_words({"a": 1.0}, alphabet)
    known = Knowledge(alphabet, 1.0, setup, trie, _no_model(), phrases)
    with _announced():
        stream = BeamStream(known)
        stream.feed(np.log(np.full((1, 3), 1 / 3)))
        stream.partial()
        stream.finish()


@contextmanager
def _announced() -> Iterator[None]:
    logger = logging.getLogger("plainspeech")
    timer = threading.Timer(
        _PATIENCE, logger.warning, ["compiling the decoder for this machine, this once"]
    )
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
