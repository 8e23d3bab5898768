"""Words by how they sound, for a search over phones.

The search takes phones for letters: each is one character of an alphabet that nobody sees, and the
lexicon has the pronunciations of the language model's words. Words that sound alike end at one node
of it, where the search counts the likeliest; which of them was meant is decided when the sentence
is there, by the language model over the whole of it.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from itertools import islice, product, takewhile
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from plainspeech import pronunciations as parsing
from plainspeech.alphabet import Alphabet
from plainspeech.decoding.kernels import records
from plainspeech.decoding.kernels.records import Ints, Trie
from plainspeech.decoding.lexicon import build_trie, check_probabilities, kept_lexicon, words_of
from plainspeech.errors import DecodingError, LanguageModelError
from plainspeech.lm.scorer import NGramLanguageModel, ScoreEach, Tables, scoring_of
from plainspeech.lm.tables import EOS_ID, SPECIAL_WORDS, UNKNOWN_ID
from plainspeech.lm.vocabulary import digest_of
from plainspeech.pronunciations import Pronunciations, phone_character

_MOST_SPOKEN = 16  # ways to say a hot phrase

Sentences: TypeAlias = dict[int, tuple[float, tuple[str, ...]]]
"""For a state of the language model the score of the likeliest words that lead to it, and they."""


@dataclass(frozen=True)
class KeptSentences:
    """What was found out about some texts, for others with the same start and expected words.

    Texts that a search has to choose from have most of their parts in common.

    Attributes:
        beginnings: the `Sentences` of what was said.
        steps: for a state of the language model and what was said after it the words that sound so,
            what each adds to the score, and the state after it.
        ends: what the end of the sentence adds after a state.
    """

    beginnings: dict[tuple[str, ...], Sentences] = field(default_factory=dict)
    steps: dict[tuple[int, str], list[tuple[str, float, int]]] = field(default_factory=dict)
    ends: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SpokenWords:
    """The words of a language model, by how they sound.

    Attributes:
        pronunciations: of the words.
        vocabulary: of the language model.
        tables: of the language model.
        lexicon: of the search: the pronunciations of the words, over `alphabet`.
        unpronounced: ids of the words that have none.
    """

    pronunciations: Pronunciations
    vocabulary: Sequence[str]
    tables: Tables
    lexicon: Trie
    unpronounced: Ints

    @classmethod
    def of(cls, pronunciations: Pronunciations, scorer: NGramLanguageModel) -> SpokenWords:
        """Return the words of ``scorer``; what is made of many is kept on disk.

        Raises:
            LanguageModelError: ``scorer`` has no probabilities of some of its words.
        """
        check_probabilities(scorer)
        vocabulary, tables = scorer.vocabulary, scorer.tables
        made = kept_lexicon(
            f"spoken words {pronunciations.phones} {_digest(pronunciations, vocabulary)}",
            partial(_lay_out, pronunciations, vocabulary, tables),
            tables,
            ("nodes", "symbols", "homophones", "unpronounced"),
            (__file__, parsing.__file__),
        )
        return cls(
            pronunciations,
            vocabulary,
            tables,
            records.Trie(made["nodes"], made["symbols"], made["homophones"]),
            made["unpronounced"],
        )

    @property
    def coverage(self) -> float:
        """The share of the words that have a pronunciation; 0 of none."""
        words = len(self.vocabulary) - len(SPECIAL_WORDS)
        return 1 - len(self.unpronounced) / words if words else 0.0

    def check_coverage(self) -> None:
        """Log that there are words that cannot be found.

        Raises:
            LanguageModelError: no word can be.
        """
        if not self.coverage:
            raise LanguageModelError("lexicon: no word of the language model has a pronunciation")
        if len(self.unpronounced):
            logging.getLogger("plainspeech").warning(
                "words of the language model without a pronunciation, which cannot be found: %d; "
                "the first is %r",
                len(self.unpronounced),
                self.vocabulary[int(self.unpronounced[0])][:60],
            )

    @cached_property
    def alphabet(self) -> Alphabet:
        """A space for the boundary of words, then a character a phone."""
        return _alphabet(self.pronunciations.phones)

    def name(self, symbol: str) -> str:
        """Return the name of a phone; a space for the boundary."""
        return symbol if symbol == " " else self.pronunciations.name(symbol)

    def lacks(self, phrase: str) -> bool:
        """Return whether a word of ``phrase`` has no pronunciation."""
        # Wide, as hot words are asked for afterwards: that has to be found out once.
        return not all(self.pronunciations.of(word, wide=True) for word in phrase.split())

    def spoken(self, phrase: str) -> list[str]:
        """Return the ways to say a hot phrase, the usual first.

        Raises:
            DecodingError: a word has no pronunciation.
        """
        sounds = {word: self.pronunciations.of(word, wide=True) for word in phrase.split()}
        for word, known in sounds.items():
            if not known:
                raise DecodingError(f"hot_words: {word[:60]!r} has no pronunciation in the lexicon")
        each = [sounds[word] for word in phrase.split()]
        # As many of each word as there is room for: the last word does not take all of it.
        most = 1
        while most < max(map(len, each)) and math.prod(len(s[:most]) for s in each) < _MOST_SPOKEN:
            most += 1
        ways = product(*(known[:most] for known in each))
        return [" ".join(way) for way in islice(ways, _MOST_SPOKEN)]

    def by_sound(self, expected: Mapping[str, float]) -> dict[str, dict[str, float]]:
        """Return expected words, with their nats, by all the ways to say them."""
        found: dict[str, dict[str, float]] = {}
        for word, nats in expected.items():
            for sound in self.pronunciations.of(word, wide=True):
                found.setdefault(sound, {})[word] = nats
        return found

    def written(
        self,
        text: str,
        expected: Mapping[str, Mapping[str, float]],
        start: int,
        ends: bool = True,
        kept: KeptSentences | None = None,
    ) -> list[str]:
        """Return the likeliest words that sound like ``text``.

        By dynamic programming over the states of the language model, so that none is likelier. What
        is no word, as the last of a text that is not finished, is left out.

        Args:
            text: what was said, words separated by spaces.
            expected: hot words and the nats that each adds, see `by_sound`; those outside the
                vocabulary count as unknown words.
            start: state of the language model before the first word.
            ends: whether the sentence ends with the text.
            kept: what was found out about the beginnings of other texts, for the same ``expected``
                and ``start``; what is found out is added.
        """
        kept = kept or KeptSentences()
        alive = self._alive(text, expected, start, kept)
        self._look_up_ends(alive, kept)
        best = max(
            (score + (kept.ends[state] if ends else 0.0), words)
            for state, (score, words) in alive.items()
        )
        return list(best[1])

    def settled(
        self, text: str, expected: Mapping[str, Mapping[str, float]], start: int
    ) -> list[str]:
        """Return the words at the beginning of `written` that stay, whatever follows ``text``.

        Which of the words that sound alike was meant may depend on what follows, until the language
        model tells the sentences with the one and with the other apart no more.
        """
        sentences = [
            words for _, words in self._alive(text, expected, start, KeptSentences()).values()
        ]
        alike = takewhile(lambda each: len(set(each)) == 1, zip(*sentences, strict=False))
        return [word for word, *_ in alike]

    def _alive(
        self,
        text: str,
        expected: Mapping[str, Mapping[str, float]],
        start: int,
        kept: KeptSentences,
    ) -> Sentences:
        """Return the likeliest words for each state of the language model after ``text``."""
        sounds = tuple(text.split(" ")) if text else ()
        alive: Sentences = {start: (0.0, ())}
        for count, sound in enumerate(sounds, start=1):
            said = sounds[:count]
            if said not in kept.beginnings:
                self._look_up_steps(alive, sound, expected.get(sound, {}), kept)
                kept.beginnings[said] = _after(alive, sound, kept)
            alive = kept.beginnings[said]
        return alive

    def _look_up_steps(
        self, states: Iterable[int], sound: str, expected: Mapping[str, float], kept: KeptSentences
    ) -> None:
        """Have ``kept`` know the words after ``states`` that ``sound`` so."""
        new = [state for state in states if (state, sound) not in kept.steps]
        if not new:
            return
        candidates = list(self._candidates(sound, expected))
        scored = self._scored(new, [index for _, index, _ in candidates])
        for state, row in zip(new, scored, strict=True):
            kept.steps[state, sound] = [
                (word, gain + nats, following)
                for (word, _, nats), (gain, following) in zip(candidates, row, strict=True)
            ]

    def _look_up_ends(self, states: Iterable[int], kept: KeptSentences) -> None:
        """Have ``kept`` know what the end of the sentence adds after ``states``."""
        new = [state for state in states if state not in kept.ends]
        if not new:
            return
        for state, ((gain, _),) in zip(new, self._scored(new, [EOS_ID]), strict=True):
            kept.ends[state] = gain

    def _candidates(
        self, sound: str, expected: Mapping[str, float]
    ) -> Iterator[tuple[str, int, float]]:
        """Yield the words that sound so, their ids and nats; ``expected`` are such words."""
        known = self._ids(sound)
        for index in known:
            word = self.vocabulary[index]
            yield word, index, expected.get(word, 0.0)
        for word, nats in expected.items():
            # One of the vocabulary may be said in more ways when it is expected.
            index = self._places.get(word, UNKNOWN_ID)
            if index not in known:
                yield word, index, nats

    @cached_property
    def _ids(self) -> Callable[[str], list[int]]:
        """Returns the ids of the words that sound so; kept, for the same are said again."""
        return cache(lambda sound: words_of(self.lexicon, self.alphabet.encode(sound)))

    @cached_property
    def _scored(self) -> ScoreEach:
        """Returns the probabilities of words after states of the language model."""
        return scoring_of(self.tables)

    @cached_property
    def _places(self) -> dict[str, int]:
        """The id of each word; the first of one that is listed twice."""
        count = len(self.vocabulary)
        return dict(zip(reversed(self.vocabulary), range(count - 1, -1, -1), strict=True))


def _after(alive: Sentences, sound: str, kept: KeptSentences) -> Sentences:
    """Return the likeliest words for each state after one more; what is no word is left out."""
    after: Sentences = {}
    for state, (score, words) in alive.items():
        for word, gain, following in kept.steps[state, sound]:
            total = score + gain
            if total > after.get(following, (-math.inf, ()))[0]:
                after[following] = total, (*words, word)
    return after or alive


def _lay_out(
    pronunciations: Pronunciations, vocabulary: Sequence[str], tables: Tables
) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of `SpokenWords.lexicon`, and `SpokenWords.unpronounced`."""
    words = pronunciations.completed(vocabulary[len(SPECIAL_WORDS) :]).words
    by_sound: dict[str, list[int]] = {}
    unpronounced: list[int] = []
    for index, word in enumerate(vocabulary[len(SPECIAL_WORDS) :], len(SPECIAL_WORDS)):
        sounds = words.get(word)
        if sounds is None:
            unpronounced.append(index)
        for sound in sounds or ():
            by_sound.setdefault(sound, []).append(index)
    ids: list[int] = []
    homophones: list[int] = []
    for alike in by_sound.values():
        ids.append(alike[0] if len(alike) == 1 else -2 - len(homophones))
        if len(alike) > 1:
            homophones += (*alike, records.NONE)
    alphabet = _alphabet(pronunciations.phones)
    trie = build_trie(
        list(by_sound), np.array(ids, np.int32), np.array(homophones, np.int32), alphabet, tables
    )
    return {**trie._asdict(), "unpronounced": np.array(unpronounced, np.int32)}


def _alphabet(phones: Sequence[str]) -> Alphabet:
    return Alphabet((" ", *map(phone_character, range(1, len(phones) + 1))))


def _digest(pronunciations: Pronunciations, vocabulary: Sequence[str]) -> str:
    """Return a hash of how the words of ``vocabulary`` sound."""
    converter = pronunciations.converter.name if pronunciations.converter else ""
    text = "\n".join((pronunciations.sha256, converter, digest_of(vocabulary)))
    return hashlib.sha256(text.encode()).hexdigest()
