"""The text that a model is built from: normalised sentences, then word ids on disk.

The text may be larger than memory.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from plainspeech.alphabet import Alphabet
from plainspeech.errors import DataError
from plainspeech.foreign_characters import ForeignCharacters
from plainspeech.lm.tables import BOS_ID, EOS_ID, SPECIAL_WORDS, Ints

_LONGEST_LINE = 1 << 24  # bytes


CHUNK = 1 << 22  # tokens that are processed at a time


def read_sentences(
    paths: Sequence[Path], alphabet: Alphabet, foreign: ForeignCharacters | None = None
) -> Iterator[list[str]]:
    """Yield the words of every line that has any, one line at a time.

    Args:
        paths: text in UTF-8, one sentence a line; .gz, .xz and .bz2 are decompressed.
        alphabet: to which `Alphabet.normalise` folds the text.
        foreign: counts the lines of which it loses something.

    Raises:
        DataError: a file cannot be read, or is not UTF-8.
    """
    normal = frozenset(alphabet.symbols)
    for path in paths:
        for line in _lines(path):
            # Most text is normalised already, and to check that is much faster than to normalise.
            words = line.split()
            if not normal.issuperset("".join(words)):
                words = alphabet.normalise(line).split()
                if foreign:
                    foreign.add(line)
            if words:
                yield words


def _lines(path: Path) -> Iterator[str]:
    try:
        with _open(path) as file:
            lines = iter(partial(file.readline, _LONGEST_LINE + 1), b"")
            for number, line in enumerate(lines, start=1):
                if len(line) > _LONGEST_LINE:
                    raise DataError(
                        f"{path}, line {number}: is longer than {_LONGEST_LINE:,} bytes; "
                        f"write one sentence a line"
                    )
                yield _decoded(path, number, line)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read: {reason}") from error


def _decoded(path: Path, number: int, line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}, line {number}: is not UTF-8: {error}") from error


def _open(path: Path) -> BinaryIO | gzip.GzipFile | lzma.LZMAFile | bz2.BZ2File:
    if path.suffix == ".gz":
        return gzip.open(path)
    if path.suffix == ".xz":
        return lzma.open(path)
    return bz2.open(path) if path.suffix == ".bz2" else path.open("rb")


@dataclass(frozen=True)
class Corpus:
    """A text as word ids.

    Attributes:
        vocabulary: the special words, then those of the text from the most frequent to the least.
        frequencies: ``(vocabulary,)`` int64, how often each occurs.
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
        """The number of running words, without the ends of sentences."""
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
    """Renumber the words, the most frequent first."""
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
