"""Words by how they sound, for a search over phones.

The search takes phones for letters: each is one character of an alphabet that nobody sees, and the
lexicon has the pronunciations of the language model's words. Words that sound alike end at one node
of it, where the search counts the likeliest; which of them was meant is decided when the sentence
is there, by the language model over the whole of it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, product
from typing import TYPE_CHECKING

from plainspeech.alphabet import Alphabet
from plainspeech.decoding.lexicon import build_spoken_lexicon
from plainspeech.errors import DecodingError
from plainspeech.lm.scorer import NGramLanguageModel, Tables
from plainspeech.lm.tables import EOS_ID, SPECIAL_WORDS, UNKNOWN_ID, score_word
from plainspeech.pronunciations import Pronunciations, phone_character

if TYPE_CHECKING:
    from plainspeech.decoding.kernels.records import Trie

_MOST_SPOKEN = 16  # ways to say a hot phrase


@dataclass(frozen=True)
class SpokenWords:
    """The words of a language model, by how they sound.

    Attributes:
        pronunciations: of the words.
        ids: of the words that are spoken so, by strings of `alphabet`.
        vocabulary: of the language model.
        tables: of the language model.
    """

    pronunciations: Pronunciations
    ids: Mapping[str, tuple[int, ...]]
    vocabulary: Sequence[str]
    tables: Tables

    @classmethod
    def of(cls, pronunciations: Pronunciations, scorer: NGramLanguageModel) -> SpokenWords:
        """Return those words of ``scorer`` that have a pronunciation; the log says of others."""
        ids: dict[str, tuple[int, ...]] = {}
        unpronounced: list[str] = []
        for index, word in enumerate(scorer.vocabulary[len(SPECIAL_WORDS) :], len(SPECIAL_WORDS)):
            sounds = pronunciations.words.get(word)
            if sounds is None:
                unpronounced.append(word)
            for sound in sounds or ():
                ids[sound] = (*ids.get(sound, ()), index)
        if unpronounced and ids:
            logging.getLogger("plainspeech").warning(
                "words of the language model without a pronunciation, which cannot be found: %d; "
                "the first is %r",
                len(unpronounced),
                unpronounced[0][:60],
            )
        return cls(pronunciations, ids, scorer.vocabulary, scorer.tables)

    @cached_property
    def alphabet(self) -> Alphabet:
        """A space for the boundary of words, then a character a phone."""
        phones = range(1, len(self.pronunciations.phones) + 1)
        return Alphabet((" ", *map(phone_character, phones)))

    def lexicon(self) -> Trie:
        """Return the lexicon of the search.

        Raises:
            LanguageModelError: no word has a pronunciation.
        """
        return build_spoken_lexicon(self.ids, self.alphabet, self.tables)

    def name(self, symbol: str) -> str:
        """Return the name of a phone; a space for the boundary."""
        return symbol if symbol == " " else self.pronunciations.name(symbol)

    def lacks(self, phrase: str) -> bool:
        """Return whether a word of ``phrase`` has no pronunciation."""
        return not all(word in self.pronunciations.words for word in phrase.split())

    def spoken(self, phrase: str) -> list[str]:
        """Return the ways to say a hot phrase, the usual first.

        Raises:
            DecodingError: a word has no pronunciation.
        """
        words = phrase.split()
        for word in words:
            if word not in self.pronunciations.words:
                raise DecodingError(f"hot_words: {word[:60]!r} has no pronunciation in the lexicon")
        ways = product(*(self.pronunciations.words[word] for word in words))
        return [" ".join(way) for way in islice(ways, _MOST_SPOKEN)]

    def written(
        self, text: str, expected: Mapping[str, float], start: int, ends: bool = True
    ) -> list[str]:
        """Return the likeliest words that sound like ``text``.

        By dynamic programming over the states of the language model, so that none is likelier. What
        is no word, as the last of a text that is not finished, is left out.

        Args:
            text: what was said, words separated by spaces.
            expected: hot words, with the nats that each adds; those outside the vocabulary count as
                unknown words.
            start: state of the language model before the first word.
            ends: whether the sentence ends with the text.
        """
        alive: dict[int, tuple[float, tuple[str, ...]]] = {start: (0.0, ())}
        for sound in text.split(" ") if text else ():
            candidates = list(self._candidates(sound, expected))
            if not candidates:
                continue
            after: dict[int, tuple[float, tuple[str, ...]]] = {}
            for state, (score, words) in alive.items():
                for word, index in candidates:
                    gain, following = score_word(self.tables, state, index)
                    total = score + float(gain) + expected.get(word, 0.0)
                    if total > after.get(int(following), (-math.inf, ()))[0]:
                        after[int(following)] = total, (*words, word)
            alive = after
        best = max(
            (score + (score_word(self.tables, state, EOS_ID)[0] if ends else 0.0), words)
            for state, (score, words) in alive.items()
        )
        return list(best[1])

    def _candidates(self, sound: str, expected: Mapping[str, float]) -> Iterator[tuple[str, int]]:
        """Yield the words that sound so, and their ids."""
        for index in self.ids.get(sound, ()):
            yield self.vocabulary[index], index
        for word in expected:
            if sound in self.pronunciations.words.get(word, ()) and word not in self._known:
                yield word, UNKNOWN_ID

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.vocabulary)
