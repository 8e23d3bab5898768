"""Sentences of text files, normalised as the transcripts of a corpus are."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

from plainspeech.alphabet import Alphabet
from plainspeech.errors import DataError

_LONGEST_LINE = 1 << 24  # bytes


def read_sentences(paths: Sequence[Path], alphabet: Alphabet) -> Iterator[list[str]]:
    """Yield the words of every line that has any, one line at a time.

    Args:
        paths: text in UTF-8, one sentence a line; .gz, .xz and .bz2 are decompressed.
        alphabet: to which `Alphabet.normalise` folds the text.

    Raises:
        DataError: a file cannot be read, or is not UTF-8.
    """
    normal = frozenset(alphabet.symbols)
    for path in paths:
        for line in _lines(path):
            # Most text comes normalised; telling so is much quicker than doing it again.
            words = line.split()
            if not normal.issuperset("".join(words)):
                words = alphabet.normalise(line).split()
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
