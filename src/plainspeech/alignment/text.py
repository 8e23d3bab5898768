"""A text as sentences of words, each as it stands there and as the model's alphabet writes it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from plainspeech.alphabet import Alphabet
from plainspeech.errors import DataError

_DASHES = re.compile(r"(--+|[\u2013-\u2015])")
_PARAGRAPHS = re.compile(r"\n\s*\n")
_SENTENCE_END = re.compile(
    r"[.!?\u2026\u3002\uff01\uff1f\u061f\u0964]+[\"'\u2019\u201d\u00bb)\]]*$"
)
_INITIAL = re.compile(r"^\W*\w\.$")
_TITLES = frozenset({"mr.", "mrs.", "ms.", "dr.", "st.", "messrs.", "mme."})


@dataclass(frozen=True)
class TextWord:
    """A word of a text.

    Attributes:
        text: as it stands there, with its punctuation.
        ids: of its symbols; none where the alphabet cannot write it.
    """

    text: str
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Text:
    """A text.

    Attributes:
        words: all, in order.
        sentence_ends: the number of words up to the end of each sentence, ascending.
        foreign: the letters and digits that the alphabet cannot write, each once, sorted.
    """

    words: tuple[TextWord, ...]
    sentence_ends: tuple[int, ...]
    foreign: str


def parse_text(text: str, alphabet: Alphabet) -> Text:
    """Return the words and sentences of ``text``.

    A sentence ends at its punctuation and at an empty line; in a text without such punctuation, at
    the end of a line. A word with a letter or digit that the alphabet cannot write ('1865', 'я') is
    kept without symbols; punctuation that stands alone belongs to the word before it.

    Args:
        text: plain text.
        alphabet: of the model.

    Raises:
        DataError: the text has no word that the alphabet can write.
    """
    words: list[TextWord] = []
    ends: list[int] = []
    foreign: set[str] = set()
    for tokens in _sentences(_DASHES.sub(r"\1 ", text)):
        for token in tokens:
            lost = alphabet.lost(token)
            foreign.update(lost)
            ids = () if lost else tuple(alphabet.encode(alphabet.normalise(token)))
            if ids or lost:
                words.append(TextWord(token, ids))
            elif words and (not ends or ends[-1] < len(words)):
                words[-1] = TextWord(f"{words[-1].text} {token}", words[-1].ids)
        if words and (not ends or ends[-1] < len(words)):
            ends.append(len(words))
    if not any(word.ids for word in words):
        raise DataError(
            f"the text has no word that the model's alphabet can write "
            f"({''.join(alphabet.symbols).strip()})"
        )
    return Text(tuple(words), tuple(ends), "".join(sorted(foreign)))


def _sentences(text: str) -> Iterator[list[str]]:
    """Yield the words of each sentence."""
    if not any(map(_ends_sentence, text.split())):
        yield from (line.split() for line in text.splitlines())
        return
    for paragraph in _PARAGRAPHS.split(text):
        sentence: list[str] = []
        for token in paragraph.split():
            sentence.append(token)
            if _ends_sentence(token):
                yield sentence
                sentence = []
        yield sentence


def _ends_sentence(token: str) -> bool:
    if not _SENTENCE_END.search(token):
        return False
    return not _INITIAL.match(token) and token.lower() not in _TITLES
