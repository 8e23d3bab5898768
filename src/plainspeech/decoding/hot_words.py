"""Words and phrases that are expected, or unwanted, in this utterance.

They are a trie over characters, each phrase with the space after it. The state of a text is the
node of its longest suffix, from the beginning of a word on, that begins a phrase; so every
occurrence of a phrase as whole words is found in one pass (A. V. Aho and M. J. Corasick, CACM 18
(6), 1975).
A node has a reward, the weights of the phrases complete there, and a potential: a share of the
weight of the best phrase in progress, by characters. A step adds the difference of potentials and
the reward, so a potential is taken back as soon as a phrase does not continue, and a whole text has
exactly the weights of the phrases in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from plainspeech.alphabet import Alphabet
from plainspeech.decoding.lexicon import Ints, lay_out
from plainspeech.errors import DecodingError

if TYPE_CHECKING:
    from plainspeech.decoding.kernels.records import Trie

HotWords = Mapping[str, float]
"""Words and phrases, each with the nats that every occurrence adds; negative for unwanted ones."""

DEFAULT_WEIGHT = 5.0
"""Nats, where a user gives no weight: expected words are recognised more often, and long ones are
not inserted."""

LARGEST_WEIGHT = 100.0
"""Nats; more than any acoustic evidence amounts to."""

LARGEST_SUM = 300.0
"""Nats that phrases which end with the same words may add together."""

MOST_PHRASES = 10_000
"""Words and phrases of one call."""

LONGEST_PHRASE = 200
"""Characters of a phrase."""

MOST_CHARACTERS = 200_000
"""Characters of all phrases together: building their trie takes a fraction of a second."""


def parse_hot_words(text: str) -> dict[str, float]:
    """Return the hot words that a user has written, one a line.

    Args:
        text: lines ``phrase`` or ``phrase:weight``; a phrase without a weight has
            `DEFAULT_WEIGHT`. Empty lines, and those that start with ``#``, are skipped.

    Raises:
        DecodingError: a line is neither; the message begins with its number.
    """
    lines = text.removeprefix("\ufeff").splitlines()
    return dict(
        _parse(line, f"line {number}: ")
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.lstrip().startswith("#")
    )


def parse_hot_word(text: str) -> tuple[str, float]:
    """Return the phrase and the weight of one hot word, ``phrase`` or ``phrase:weight``.

    Raises:
        DecodingError: it is neither.
    """
    return _parse(text, "")


def _parse(text: str, where: str) -> tuple[str, float]:
    phrase, colon, weight = text.rpartition(":")
    if not colon:
        return text.strip(), DEFAULT_WEIGHT
    try:
        nats = float(weight)
    except ValueError:
        nats = math.nan
    if not abs(nats) <= LARGEST_WEIGHT or not phrase.strip():
        raise DecodingError(
            f"{where}{_shortened(text.strip())} is not a phrase with a weight from "
            f"-{LARGEST_WEIGHT:g} to {LARGEST_WEIGHT:g}, such as 'plain speech:8'"
        )
    return phrase.strip(), nats


def validated_hot_words(hot_words: object, alphabet: Alphabet) -> dict[str, float]:
    """Return hot words as the alphabet writes them.

    Case, accents and apostrophes are folded by `Alphabet.normalise`, and punctuation separates
    words, unless the alphabet has them.

    Args:
        hot_words: see `HotWords`; None for none.
        alphabet: of the decoder.

    Raises:
        DecodingError: they are not a mapping from strings to numbers up to `LARGEST_WEIGHT`; there
            are more, or longer ones, than the constants here allow; a phrase has a letter or digit
            that the alphabet lacks, or no character of it; the alphabet has no space to separate
            words.
    """
    if hot_words is None:
        return {}
    if not isinstance(hot_words, Mapping):
        raise DecodingError("hot_words must map each word or phrase to its weight")
    if hot_words and " " not in alphabet.symbols:
        raise DecodingError("hot_words: the alphabet has no space, so there are no words")
    if len(hot_words) > MOST_PHRASES:
        raise DecodingError(f"hot_words: {len(hot_words):,} phrases; at most {MOST_PHRASES:,}")
    found = dict(_validated(phrase, weight, alphabet) for phrase, weight in hot_words.items())
    characters = sum(map(len, found))
    if characters > MOST_CHARACTERS:
        raise DecodingError(
            f"hot_words: {characters:,} characters in all; at most {MOST_CHARACTERS:,}"
        )
    return found


def _validated(phrase: object, weight: object, alphabet: Alphabet) -> tuple[str, float]:
    if not isinstance(phrase, str):
        raise DecodingError(f"hot_words: {_shortened(phrase)} is not a string")
    if len(phrase) > LONGEST_PHRASE:
        raise DecodingError(
            f"hot_words: {_shortened(phrase)} has {len(phrase):,} characters; "
            f"at most {LONGEST_PHRASE}"
        )
    if isinstance(weight, bool) or not isinstance(weight, Real):
        raise DecodingError(
            f"hot_words: the weight of {_shortened(phrase)} is {_shortened(weight)}; "
            f"it must be a number"
        )
    number: Any = weight  # that may be beyond what a float holds
    if not -LARGEST_WEIGHT <= number <= LARGEST_WEIGHT:  # or NaN
        raise DecodingError(
            f"hot_words: {_shortened(phrase)} has the weight {_shortened(weight)}; "
            f"it must be from -{LARGEST_WEIGHT:g} to {LARGEST_WEIGHT:g}"
        )
    words = _folded(phrase, alphabet).split()
    if not words:
        raise DecodingError(f"hot_words: {_shortened(phrase)} has no character of the alphabet")
    return " ".join(words), float(number)


def _folded(phrase: str, alphabet: Alphabet) -> str:
    if not alphabet.foreign(phrase):
        return phrase
    # Punctuation separates words, but a letter or digit that is left out makes another phrase.
    lost = alphabet.lost(phrase)
    if lost:
        raise DecodingError(
            f"hot_words: {_shortened(phrase)} has {_shortened(lost)}, which the alphabet does not: "
            f"spell it as it is said"
        )
    return alphabet.normalise(phrase)


def _shortened(value: object) -> str:
    """Return ``value`` for a message, of at most a line."""
    text = repr(value if not isinstance(value, str) else value[:60])
    return text if len(text) <= 80 else f"{text[:80]}..."


def build_hot_words(weights: Mapping[str, float], alphabet: Alphabet) -> Trie:
    """Return the phrases of ``weights``, which are validated, as a trie with failure links.

    Raises:
        DecodingError: phrases that end with the same words have more than `LARGEST_SUM` together.
    """
    from plainspeech.decoding.kernels.records import HOT_NODE, Trie

    phrases = {f"{phrase} ": weight for phrase, weight in weights.items()}
    layout = lay_out(list(phrases), alphabet, "hot_words")
    nodes = np.zeros(len(layout.parents) + 1, HOT_NODE)
    layout.fill(nodes)
    trie = Trie(nodes, layout.listed_symbols(alphabet))
    if phrases:
        from plainspeech.decoding.kernels.tries import link_hot_words

        own, slopes = np.zeros((2, len(layout.parents)))
        own[layout.ends] = list(phrases.values())
        space = alphabet.encode(" ")[0]
        link_hot_words(trie, layout.parents, layout.symbols, layout.depths, own, slopes, space)
        _check_sums(nodes["reward"], layout.ends, list(phrases))
    return trie


def _check_sums(rewards: npt.NDArray[np.float64], ends: Ints, phrases: Sequence[str]) -> None:
    sums = np.abs(rewards[ends])
    if sums.max() > LARGEST_SUM:
        phrase = _shortened(phrases[int(sums.argmax())].rstrip())
        raise DecodingError(
            f"hot_words: {phrase} and the phrases that it ends with have {sums.max():g} nats "
            f"together; at most {LARGEST_SUM:g}: lower the weights of phrases within phrases"
        )
