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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from itertools import chain, islice, product
from typing import Any

import numpy as np
import numpy.typing as npt

from plainspeech import pronunciations as parsing
from plainspeech.alphabet import Alphabet
from plainspeech.compiling.machine_code import machine_code
from plainspeech.decoding.kernels import records
from plainspeech.decoding.kernels.homophones import MOST_SENTENCES, SENTENCE, choose_words
from plainspeech.decoding.kernels.records import Ints, Trie
from plainspeech.decoding.lexicon import build_trie, check_probabilities, kept_lexicon, words_of
from plainspeech.errors import DecodingError, LanguageModelError
from plainspeech.lm.scorer import NGramLanguageModel, Tables
from plainspeech.lm.tables import SPECIAL_WORDS, UNKNOWN_ID
from plainspeech.lm.vocabulary import digest_of
from plainspeech.pronunciations import Pronunciations, phone_character

_MOST_SPOKEN = 16  # ways to say a hot phrase


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
        texts: Sequence[str],
        expected: Mapping[str, Mapping[str, float]],
        start: int,
        ends: bool = True,
    ) -> list[list[str]]:
        """Return the likeliest words that sound like each of ``texts``.

        By dynamic programming over the states of the language model, so that none are likelier.
        What is no word, as the last of a text that is not finished, is left out.

        Args:
            texts: what was said, words separated by spaces.
            expected: hot words and the nats that each adds, see `by_sound`; those outside the
                vocabulary count as unknown words.
            start: state of the language model before the first word.
            ends: whether the sentences end with the texts.
        """
        return self._chosen(texts, expected, start, ends)[0]

    def settled(
        self, text: str, expected: Mapping[str, Mapping[str, float]], start: int
    ) -> list[str]:
        """Return the words at the beginning of `written` that stay, whatever follows ``text``.

        Which of the words that sound alike was meant may depend on what follows, until the language
        model tells the sentences with the one and with the other apart no more.
        """
        (words,), settled = self._chosen([text], expected, start, ends=False)
        return words[:settled]

    def _chosen(
        self,
        texts: Sequence[str],
        expected: Mapping[str, Mapping[str, float]],
        start: int,
        ends: bool,
    ) -> tuple[list[list[str]], int]:
        """Return the words of each of ``texts``, and how many of the last are settled."""
        split = [text.split(" ") if text else [] for text in texts]
        places = {sound: place for place, sound in enumerate(dict.fromkeys(chain(*split)))}
        found = [list(self._candidates(sound, expected.get(sound, {}))) for sound in places]
        words = [word for each in found for word, _, _ in each]
        said = np.array([places[sound] for sounds in split for sound in sounds], np.int32)
        chosen, limits = np.empty(len(said), np.int32), np.cumsum([len(each) for each in split])
        longest = max(map(len, split)) + 1
        settled = self._choose(
            said,
            limits.astype(np.int32),
            np.cumsum([0, *map(len, found)], dtype=np.int32),
            np.array([index for each in found for _, index, _ in each], np.int32),
            np.array([nats for each in found for _, _, nats in each], np.float64),
            self.tables,
            start,
            ends,
            np.empty((longest, MOST_SENTENCES), SENTENCE),
            np.empty(longest, np.int32),
            chosen,
        )
        parts = [each.tolist() for each in np.split(chosen, limits[:-1])]
        # What is no word counts among the settled, too.
        settled = sum(place != records.NONE for place in parts[-1][:settled])
        written = [[words[place] for place in part if place != records.NONE] for part in parts]
        return written, settled

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
    def _choose(self) -> Callable[..., int]:
        ids, nats, sentences = np.empty(0, np.int32), np.empty(0), np.empty((0, 0), SENTENCE)
        words, scratch = (ids, ids, ids, ids, nats), (sentences, ids)
        return machine_code(choose_words, *words, self.tables, 0, True, *scratch, ids)

    @cached_property
    def _places(self) -> dict[str, int]:
        """The id of each word; the first of one that is listed twice."""
        count = len(self.vocabulary)
        return dict(zip(reversed(self.vocabulary), range(count - 1, -1, -1), strict=True))


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
