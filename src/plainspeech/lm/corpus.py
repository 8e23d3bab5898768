"""A text as numbers on disk, so that it may be larger than memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from plainspeech.errors import DataError
from plainspeech.lm.tables import BOS_ID, EOS_ID, SPECIAL_WORDS, Ints

CHUNK = 1 << 22  # tokens that are worked on at a time


@dataclass(frozen=True)
class Corpus:
    """A text as word ids.

    Attributes:
        vocabulary: the special words, then those of the text from the most frequent to the least.
        frequencies: ``(vocabulary,)`` int64, how often each is there.
        tokens: ``(tokens,)`` int32 on disk: BOS_ID, the words of the sentence, EOS_ID, and so on.
    """

    vocabulary: list[str]
    frequencies: npt.NDArray[np.int64]
    tokens: Ints

    @property
    def sentences(self) -> int:
        """How many there are."""
        return int(self.frequencies[EOS_ID])

    @property
    def words(self) -> int:
        """How many there are, repetitions and all, without the ends of sentences."""
        return len(self.tokens) - 2 * self.sentences

    def text(self) -> Iterator[str]:
        """Yield the sentences, many lines at a time."""
        spelled = np.array([*self.vocabulary], object)
        spelled[[BOS_ID, EOS_ID]] = "", "\n"
        for chunk in chunks(self.tokens):
            yield " " + " ".join(spelled[chunk])


def chunks(tokens: Ints) -> Iterator[Ints]:
    """Yield ``tokens`` in views of `CHUNK`."""
    for start in range(0, len(tokens), CHUNK):
        yield tokens[start : start + CHUNK]


class _Ids(dict[str, int]):
    """Gives every new word the next id."""

    def __missing__(self, word: str) -> int:
        self[word] = len(self)
        return self[word]


def encode(sentences: Iterable[Sequence[str]], folder: Path) -> Corpus:
    """Number the words of ``sentences``.

    Args:
        sentences: words of each.
        folder: for a file of four bytes a word, which the corpus needs as long as it lives.

    Raises:
        DataError: there is no sentence, or no room for the file.
    """
    ids = _Ids((word, index) for index, word in enumerate(SPECIAL_WORDS))
    path = folder / "tokens"
    try:
        _write_tokens(sentences, ids, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error
    if len(ids) == len(SPECIAL_WORDS):
        raise DataError("the text has no words")
    tokens: Ints = np.memmap(path, np.int32, "r+")
    return _by_frequency(list(ids), tokens)


def _write_tokens(sentences: Iterable[Sequence[str]], ids: _Ids, path: Path) -> None:
    with path.open("wb") as file:
        block = array("i")
        for words in sentences:
            block.append(BOS_ID)
            block.extend(map(ids.__getitem__, words))
            block.append(EOS_ID)
            if len(block) >= CHUNK:
                block.tofile(file)
                del block[:]
        block.tofile(file)


def _by_frequency(words: Sequence[str], tokens: Ints) -> Corpus:
    """Number the words anew, the most frequent first."""
    frequencies = np.zeros(len(words), np.int64)
    for chunk in chunks(tokens):
        frequencies += np.bincount(chunk, minlength=len(words))
    special = len(SPECIAL_WORDS)
    ordered = sorted(range(special, len(words)), key=lambda id_: (-frequencies[id_], words[id_]))
    order = np.array([*range(special), *ordered])
    renumbered = np.empty(len(words), np.int32)
    renumbered[order] = np.arange(len(words))
    for chunk in chunks(tokens):
        chunk[:] = renumbered[chunk]
    return Corpus([words[id_] for id_ in order], frequencies[order], tokens)
