"""What a beam search goes by: settings, lexicon, language model and hot words, as arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from plainspeech.alphabet import Alphabet
from plainspeech.decoding.confidence import (
    WITH_LANGUAGE_MODEL,
    WITHOUT_LANGUAGE_MODEL,
    Calibration,
)
from plainspeech.decoding.hot_words import build_hot_words
from plainspeech.decoding.kernels.compiled import Code, compile_search
from plainspeech.decoding.kernels.records import CHARACTERS, NONE, PLAIN, WORDS, Ints, Setup, Trie
from plainspeech.decoding.lexicon import build_lexicon
from plainspeech.decoding.settings import BeamSettings
from plainspeech.errors import PlainspeechError
from plainspeech.lm.interface import LanguageModel, Tables
from plainspeech.lm.tables import SPECIAL_WORDS, UNKNOWN_ID, Level, NGramTables, build_tables, score

_SPACE_NAME = "|"  # a space in the vocabulary of a language model over characters


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
        code: the search itself.
        calibration: makes confidences of what it knows of a word.
    """

    alphabet: Alphabet
    frame_seconds: float
    setup: Setup
    lexicon: Trie
    tables: Tables
    phrases: Trie
    code: Code
    calibration: Calibration

    def with_settings(
        self, settings: BeamSettings, alphabet: Alphabet, scorer: LanguageModel | None
    ) -> Knowledge:
        """Return the same with other settings and no hot words."""
        setup = _setup(settings, alphabet, scorer)
        return replace(
            self,
            setup=setup._replace(sentence_end=self.setup.sentence_end),
            phrases=build_hot_words({}, alphabet),
            calibration=_calibration(settings, scorer),
        )


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
    lexicon = build_lexicon(words, len(SPECIAL_WORDS), alphabet, tables)
    phrases = build_hot_words({}, alphabet)
    code = compile_search(setup, lexicon, tables, phrases)
    calibration = _calibration(settings, scorer)
    return Knowledge(alphabet, frame_seconds, setup, lexicon, tables, phrases, code, calibration)


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
        sentence_end=True,
        by_state=settings.merge == "state",
        tokens=_tokens(alphabet, scorer) if scorer else np.zeros(0, np.int32),
    )


def _calibration(settings: BeamSettings, scorer: LanguageModel | None) -> Calibration:
    default = WITH_LANGUAGE_MODEL if scorer else WITHOUT_LANGUAGE_MODEL
    return settings.calibration or default


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
