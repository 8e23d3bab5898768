"""N-gram models in the ARPA format, which may be compressed by gzip.

The format is that of SRILM's manual page ngram-format(5). Its logarithms are to base 10; they are
called ``log10`` here, all others are natural.
"""

from __future__ import annotations

import gzip
import math
import os
import re
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, NamedTuple, NoReturn

import numpy as np

from plainspeech.errors import LanguageModelError
from plainspeech.files import replacing
from plainspeech.lm.levels import context_rows, keys, sorted_level, word_ids
from plainspeech.lm.tables import (
    BOS_ID,
    EOS_ID,
    LARGEST_BACKOFF_LOG,
    LARGEST_ORDER,
    LEAST_LOG,
    SPECIAL_WORDS,
    Floats,
    Ints,
    Level,
    NGramTables,
    build_tables,
)

LN10 = math.log(10)

_UNLISTED_LOG10 = -100.0  # what KenLM gives the unknown word of a model without one
_LONGEST_PREFACE = 1000  # lines
_LONGEST_LINE = 1 << 16  # bytes
_FREE, _LARGEST_RATIO = 1 << 24, 50  # bytes, and times the compressed size; usual is 5
_COUNT = re.compile(rb"ngram\s+(\d{1,4})\s*=\s*(\d{1,10})")
_GZIP, _BYTE_ORDER_MARK = b"\x1f\x8b", b"\xef\xbb\xbf"


@dataclass(frozen=True)
class ArpaModel:
    """The content of an ARPA file.

    Attributes:
        vocabulary: ``<unk>``, ``<s>``, ``</s>``, and the other words.
        levels: unigrams, bigrams and so on.
    """

    vocabulary: list[str]
    levels: list[Level]

    @cached_property
    def tables(self) -> NGramTables:
        """The model flattened."""
        return build_tables(self.levels)


class _Lines:
    """The lines of a file, and the number of the current one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 0
        self.limit = 0  # largest number of bytes, known once a line has been read
        self._lines = self._read()

    def _read(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as file:
                self.limit = os.fstat(file.fileno()).st_size
                if file.read(2) == _GZIP:
                    file.seek(0)
                    self.limit = _FREE + _LARGEST_RATIO * self.limit
                    yield from self._bounded(_split(gzip.GzipFile(fileobj=file)), self.limit)
                else:
                    file.seek(0)
                    yield from _split(file)
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or error
            raise LanguageModelError(f"{self.path}: cannot be read: {reason}") from error

    def _bounded(self, lines: Iterable[bytes], limit: int) -> Iterator[bytes]:
        size = 0
        for line in lines:
            size += len(line)
            if size > limit:
                self.fail(f"the file is decompressed to more than {_LARGEST_RATIO} times its size")
            yield line

    def next(self) -> bytes:
        """Return the next line, without the space around it."""
        self.number += 1
        line = next(self._lines, None)
        if line is None:
            raise LanguageModelError(
                f"{self.path}, line {self.number}: the ARPA file ends here, without \\end\\; "
                "it is truncated"
            )
        if len(line) > _LONGEST_LINE:
            self.fail(f"the line is longer than {_LONGEST_LINE:,} bytes")
        return line.strip()

    def next_filled(self) -> bytes:
        """Return the next line that is not empty."""
        while not (line := self.next()):
            pass
        return line

    def fail(self, problem: str, line: int | None = None) -> NoReturn:
        raise LanguageModelError(f"{self.path}, line {line or self.number}: {problem}")


def _split(file: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    """Yield the lines of ``file``, which end in LF, CR LF or CR, without a byte order mark.

    Of a line that is too long, the beginning is yielded, so that it can be refused.
    """
    limit = _LONGEST_LINE + 2
    first = file.readline(limit).removeprefix(_BYTE_ORDER_MARK)
    if b"\r" in first.rstrip(b"\r\n"):
        yield from _split_at_returns(first, file)
        return
    if first:
        yield first
    while line := file.readline(limit):
        yield line


def _split_at_returns(first: bytes, file: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    rest = first
    while block := file.read(_LONGEST_LINE):
        *lines, rest = (rest + block).split(b"\r")
        yield from lines
        if len(rest) > _LONGEST_LINE:
            break
    yield from rest.split(b"\r")


def is_arpa(path: Path) -> bool:
    """Return whether ``path`` is an ARPA file, by its name or else by its first bytes."""
    if path.name.endswith((".arpa", ".arpa.gz")):
        return not path.is_dir()
    try:
        with path.open("rb") as file:
            start = file.read(_LONGEST_LINE)
    except OSError:  # a folder, or an error that reading the scorer reports
        return False
    return start.startswith(_GZIP) or b"\\data\\" in start


class _Section(NamedTuple):
    """The n-grams of one order in the order of the file."""

    first_line: int
    words: Ints  # (n-grams, order)
    probabilities: Floats
    backoffs: Floats


def read_arpa(path: Path, vocabulary: Sequence[str] = SPECIAL_WORDS) -> ArpaModel:
    """Read an ARPA file.

    Args:
        path: the file; it may be compressed by gzip.
        vocabulary: words whose ids are given, the special ones first; others come after them.

    Raises:
        LanguageModelError: the file cannot be read, is truncated or not ARPA; the message
            names the line.
    """
    lines = _Lines(path)
    counts = _read_counts(lines)
    ids = {word.encode(): index for index, word in enumerate(vocabulary)}
    unigrams = _read_section(lines, 1, counts[0], ids)
    levels = [_unigrams(lines, len(ids), unigrams)]
    vocabulary = _decoded(lines, ids)
    for order, count in enumerate(counts[1:], start=2):
        section = _read_section(lines, order, count, ids)
        levels.append(_level(lines, levels, section, vocabulary))
    if lines.next_filled() != b"\\end\\":
        lines.fail("expected \\end\\; there are more n-grams than \\data\\ declares")
    return ArpaModel(vocabulary, levels)


def check_counts(path: Path) -> None:
    """Refuse an ARPA file whose header declares more n-grams than the file has room for.

    Raises:
        LanguageModelError: it does, is no ARPA file, or cannot be read.
    """
    lines = _Lines(path)
    # A logarithm of one digit, words of one letter, and separators.
    least = sum((2 + 2 * n) * count for n, count in enumerate(_read_counts(lines), start=1))
    if least > lines.limit:
        lines.fail(
            "the file is too small for the declared number of n-grams: it is truncated or damaged"
        )


def _read_counts(lines: _Lines) -> list[int]:
    while lines.next() != b"\\data\\":
        if lines.number == _LONGEST_PREFACE:
            lines.fail("this is not an ARPA file: it has no \\data\\")
    counts: list[int] = []
    while (line := lines.next()) or not counts:
        found = _COUNT.fullmatch(line)
        if not found or int(found[1]) != len(counts) + 1 or len(counts) == LARGEST_ORDER:
            lines.fail(f"'ngram {len(counts) + 1}=COUNT' or an empty line was expected")
        counts.append(int(found[2]))
    return counts


def _read_section(lines: _Lines, order: int, count: int, ids: dict[bytes, int]) -> _Section:
    """Read the n-grams of ``order``; unigrams enter their words into ``ids``."""
    if lines.next_filled() != b"\\%d-grams:" % order:
        lines.fail(f"expected \\{order}-grams:")
    first_line = lines.number + 1
    words, log10s, backoff_log10s = array("i"), array("d"), array("d")
    for _ in range(count):
        fields = lines.next().split()
        if not order < len(fields) <= order + 2:
            lines.fail(f"expected one of the {count} n-grams of {order} words")
        if order == 1:
            ids.setdefault(fields[1], len(ids))
        try:
            words.extend([ids[word] for word in fields[1 : order + 1]])
            log10s.append(float(fields[0]))
            backoff_log10s.append(float(fields[order + 1]) if len(fields) > order + 1 else 0.0)
        except KeyError as error:
            word = error.args[0][:60].decode(errors="replace")
            lines.fail(f"{word!r} is not among the unigrams")
        except ValueError:
            lines.fail("a logarithm is not a number")
    section = _Section(
        first_line=first_line,
        words=np.array(words, np.int32).reshape(-1, order),
        probabilities=(np.array(log10s) * LN10).astype(np.float32),
        backoffs=(np.array(backoff_log10s) * LN10).astype(np.float32),
    )
    _check_values(lines, section)
    return section


def _check_values(lines: _Lines, section: _Section) -> None:
    right = (section.probabilities <= 0) & (section.probabilities >= LEAST_LOG)  # not NaN
    right &= (section.backoffs <= LARGEST_BACKOFF_LOG) & (section.backoffs >= LEAST_LOG)
    if not right.all():
        row = int(right.argmin())
        lines.fail(
            "the log10 of a probability must be from -1000 to 0, and that of a back-off "
            "weight from -1000 to 20",
            section.first_line + row,
        )


def _unigrams(lines: _Lines, vocabulary: int, section: _Section) -> Level:
    """Return the unigrams of the whole vocabulary in its order."""
    words = section.words[:, 0]
    counts = np.bincount(words, minlength=vocabulary)
    if (counts[words] > 1).any():
        row = int((counts[words] > 1).argmax())
        lines.fail("this word is listed twice", section.first_line + row)
    for word in (BOS_ID, EOS_ID):
        if not counts[word]:
            lines.fail(f"the unigrams lack {SPECIAL_WORDS[word]}")
    level = Level(
        contexts=np.zeros(vocabulary, np.int32),
        words=np.arange(vocabulary, dtype=np.int32),
        probabilities=np.full(vocabulary, _UNLISTED_LOG10 * LN10, np.float32),
        backoffs=np.zeros(vocabulary, np.float32),
    )
    level.probabilities[words] = section.probabilities
    level.backoffs[words] = section.backoffs
    return level


def _level(
    lines: _Lines, levels: Sequence[Level], section: _Section, vocabulary: Sequence[str]
) -> Level:
    """Return the n-grams of one order, linked to their contexts in the order below."""
    contexts = context_rows(section.words[:, :-1], levels)
    if (contexts < 0).any():
        row = int((contexts < 0).argmax())
        context = " ".join(vocabulary[word] for word in section.words[row, :-1])[:60]
        lines.fail(
            f"the context {context!r} of this n-gram is not among those of {len(levels)} words",
            section.first_line + row,
        )
    level = sorted_level(contexts, section.words[:, -1], section.probabilities, section.backoffs)
    if (np.diff(keys(level.contexts, level.words, len(vocabulary))) == 0).any():
        lines.fail(
            f"one of the n-grams of {len(levels) + 1} words before this line is listed twice"
        )
    return level


def _decoded(lines: _Lines, ids: dict[bytes, int]) -> list[str]:
    try:
        return [word.decode() for word in ids]
    except UnicodeDecodeError as error:
        lines.fail(f"one of the words before this line is not UTF-8 ({error})")


def write_arpa(path: Path, vocabulary: Sequence[str], levels: Sequence[Level]) -> None:
    """Write an ARPA file.

    Raises:
        LanguageModelError: it cannot be written.
    """
    try:
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(_arpa_lines(vocabulary, levels))
    except OSError as error:
        raise LanguageModelError(f"{path}: cannot be written: {error.strerror}") from error


def _arpa_lines(vocabulary: Sequence[str], levels: Sequence[Level]) -> Iterator[str]:
    yield "\\data\\\n"
    for order, level in enumerate(levels, start=1):
        yield f"ngram {order}={len(level.words)}\n"
    for order, (level, ngrams) in enumerate(zip(levels, word_ids(levels), strict=True), start=1):
        yield f"\n\\{order}-grams:\n"
        log10s = (level.probabilities.astype(float) / LN10).tolist()
        backoff_log10s = (level.backoffs.astype(float) / LN10).tolist()
        for log10, ids, backoff in zip(log10s, ngrams.tolist(), backoff_log10s, strict=True):
            text = " ".join([vocabulary[word] for word in ids])
            end = "\n" if order == len(levels) else f"\t{backoff:.7g}\n"
            yield f"{log10:.7g}\t{text}{end}"
    yield "\n\\end\\\n"
