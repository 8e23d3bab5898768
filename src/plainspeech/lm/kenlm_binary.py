"""KenLM's binaries, checked before its native code reads them.

KenLM maps a binary into memory and trusts it: a word's number is an index of an array, a pointer
says where n-grams begin, and a search in a hash table continues to the next empty place. Here every
such number is checked against its bounds, in each of the six kinds of model. The layout is that of
version 5 of the format (KenLM's lm/binary_format.cc, vocab.hh, search_hashed.hh, trie.hh,
bhiksha.hh and quantize.hh).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from plainspeech.errors import LanguageModelError
from plainspeech.lm.tables import LARGEST_ORDER

_MAGIC = b"mmap lm"  # and more, see below
_SANITY = struct.pack(  # so begins what a machine of the same byte order and KenLM of today wrote
    "=56sfffIIIQ",
    b"mmap lm http://kheafield.com/code format version 5\n",
    *(0.0, 1.0, -0.5),
    *(1, 2**32 - 1, 0, 1),
)
_FIXED = struct.Struct("=B3xfIB3xI")  # order, multiplier of hash tables, kind, words?, version
_PROBING, _REST_PROBING, _TRIE, _QUANTISED_TRIE, _ARRAY_TRIE, _QUANTISED_ARRAY_TRIE = range(6)
_HASHED = (_PROBING, _REST_PROBING)
_QUANTISED = (_QUANTISED_TRIE, _QUANTISED_ARRAY_TRIE)
_ARRAYS = (_ARRAY_TRIE, _QUANTISED_ARRAY_TRIE)
_VERSIONS = {kind: 0 if kind in _HASHED else 1 for kind in range(6)}
_LARGEST_MULTIPLIER = 100.0  # of hash tables; KenLM's own is 1.5
_UNQUANTISED_BITS = 63, 31  # of probability and back-off weight, and of the highest order
_QUANTISATION, _MOST_BITS = 2, 25  # version and bits of quantised numbers
_SLACK = 8  # bytes that KenLM reads beyond the last bits
_BLOCK = 1 << 20  # numbers that are checked at a time

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.uint64]


class _DamagedError(ValueError):
    """The file is damaged; the message says where."""


class _Parts:
    """The parts of a file, in order."""

    def __init__(self, content: Bytes) -> None:
        self.content = content
        self.place = 0

    def take(self, size: int) -> Bytes:
        if size > len(self.content) - self.place:
            raise _DamagedError(f"its header declares more than its {len(self.content)} bytes")
        self.place += size
        return self.content[self.place - size : self.place]

    def align(self) -> None:
        self.take(-self.place % 8)


class _Header(NamedTuple):
    """The values of the header.

    Attributes:
        multiplier: places of hash tables for each entry.
        kind: of model.
        counts: n-grams of each order.
    """

    multiplier: float
    kind: int
    counts: Sequence[int]


class _Records(NamedTuple):
    """Bit-packed n-grams of one order, not the highest, each with where its extensions begin.

    Attributes:
        content: of all.
        records: how many; one more holds where the extensions of the last one end.
        bits: of a record.
        next_bits: its last ones: where extensions begin.
        carries: the records from which on 1, 2... times two to the power of ``next_bits`` is added
            (Raj and Whittaker, 2003), after a 0; None where nothing is.
    """

    content: Bytes
    records: int
    bits: int
    next_bits: int
    carries: Numbers | None


def is_kenlm_binary(path: Path) -> bool:
    """Return whether ``path`` is a file that begins as KenLM's binaries do."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def check_kenlm_binary(path: Path) -> None:
    """Refuse a KenLM binary on which KenLM would read out of bounds or not terminate.

    Raises:
        LanguageModelError: it is damaged, of another version, or cannot be read.
    """
    try:
        if path.stat().st_size == 0:
            raise _DamagedError("it is empty")
        parts = _Parts(np.memmap(path, np.uint8, mode="r"))
        header = _read_header(parts)
        if header.kind in _HASHED:
            _check_hashed(parts, header)
        else:
            _check_trie(parts, header)
    except _DamagedError as error:
        raise LanguageModelError(
            f"{path}: is not a KenLM binary, or is damaged: {error}"
        ) from error
    except OSError as error:
        raise LanguageModelError(f"{path}: cannot be read: {error.strerror}") from error


def _read_header(parts: _Parts) -> _Header:
    if parts.take(len(_SANITY)).tobytes() != _SANITY:
        raise _DamagedError(
            "it is of another version or machine; build it again from the ARPA file"
        )
    order, multiplier, kind, _, version = _FIXED.unpack(parts.take(_FIXED.size).tobytes())
    if not 2 <= order <= LARGEST_ORDER:
        raise _DamagedError(f"its order is {order}; it must be from 2 to {LARGEST_ORDER}")
    if version != _VERSIONS.get(kind):
        raise _DamagedError(f"its model is of the unknown kind {kind}, version {version}")
    counts = parts.take(8 * order).view(np.uint64).tolist()
    if not 1 <= counts[0] < 2**32 or max(counts) > len(parts.content) * 8:
        raise _DamagedError("it declares more n-grams than it has room for, or no words")
    if kind in _HASHED and not 1 <= multiplier <= _LARGEST_MULTIPLIER:  # or NaN
        raise _DamagedError(f"its hash tables are {multiplier:g} times as large as their content")
    parts.align()
    return _Header(multiplier, kind, counts)


def _check_hashed(parts: _Parts, header: _Header) -> None:
    """Check a model whose n-grams lie in hash tables."""
    counts = header.counts
    numbers = 3 if header.kind == _REST_PROBING else 2  # float32, of an n-gram
    parts.take(8)  # version and number of the words
    for words in _hash_table(parts, counts[0], header.multiplier, 4):
        if words["value"].max() > counts[0]:
            raise _DamagedError("a word has a number beyond those of the words")
    parts.take(4 * numbers * (counts[0] + 1))  # unigrams
    for count in counts[1:-1]:
        _hash_table(parts, count, header.multiplier, 4 * numbers)
    _hash_table(parts, counts[-1], header.multiplier, 4)


def _hash_table(parts: _Parts, entries: int, multiplier: float, size: int) -> list[Any]:
    """Return the blocks of a hash table with values of ``size`` bytes; it must have a free place.

    A search for what is not there ends at a free place: one whose key is 0.
    """
    wanted = int(np.float32(multiplier) * np.float32(entries))
    kind = np.dtype({"names": ["key", "value"], "formats": ["<u8", "<u4"], "itemsize": 8 + size})
    table = parts.take(max(entries + 1, wanted) * kind.itemsize).view(kind)
    blocks = [table[start : start + _BLOCK] for start in range(0, len(table), _BLOCK)]
    if all(block["key"].all() for block in blocks):
        raise _DamagedError("a hash table is full, so that searches would not end")
    return blocks


def _check_trie(parts: _Parts, header: _Header) -> None:
    """Check a model whose n-grams lie in arrays, sorted, each with a pointer to the next order."""
    counts = header.counts
    words = int(parts.take(8).view(np.uint64)[0])
    if words >= counts[0]:
        raise _DamagedError("it has more words than unigrams")
    parts.take(8 * counts[0])  # hashes of words
    middle_bits, highest_bits = _UNQUANTISED_BITS
    if header.kind in _QUANTISED:
        middle_bits, highest_bits = _quantised_bits(parts, len(counts))
    unigrams = parts.take(16 * (counts[0] + 2)).view(np.uint64)[1::2]
    _check_order([unigrams[: words + 2]], counts[1])
    carry_bits = None
    for count, following in pairwise(counts[1:]):
        if carry_bits is None and header.kind in _ARRAYS:
            carry_bits = _carry_bits(parts)
        bits = counts[0].bit_length() + middle_bits
        records = _records(parts, count, following, bits, carry_bits)
        _check_order(_pointers(records), following)
    parts.take(_packed_size(counts[-1], counts[0].bit_length() + highest_bits))


def _quantised_bits(parts: _Parts, order: int) -> tuple[int, int]:
    """Skip the tables of quantised numbers; return their bits, as `_UNQUANTISED_BITS`."""
    version, probability, backoff = (int(number) for number in parts.take(8)[:3])
    if version != _QUANTISATION or not (1 <= probability <= _MOST_BITS >= backoff >= 1):
        raise _DamagedError("its numbers are quantised in an unknown way")
    parts.take(4 * ((order - 1) * 2**probability + (order - 2) * 2**backoff))
    return probability + backoff, probability


def _carry_bits(parts: _Parts) -> int:
    """Return the most bits of pointers that are kept as carries, from the first level's header."""
    version, bits = (int(number) for number in parts.take(2))
    parts.place -= 2
    if version != 0:
        raise _DamagedError(f"its pointers are compressed by the unknown version {version}")
    return bits


def _records(
    parts: _Parts, count: int, following: int, bits: int, carry_bits: int | None
) -> _Records:
    next_bits = following.bit_length()
    carries = None
    if carry_bits is not None:
        next_bits -= _chopped(count + 1, following, carry_bits)
        size = (following >> next_bits) + 1
        skipped = -parts.place % 8
        block = parts.take(8 * (1 + size) + 7)
        carries = block[skipped + 8 :][: 8 * size].view(np.uint64)
        if carries[0] != 0 or (carries[1:] < carries[:-1]).any():
            raise _DamagedError("the places of carries are not in order")
    bits += next_bits
    return _Records(parts.take(_packed_size(count, bits)), count, bits, next_bits, carries)


def _packed_size(count: int, bits: int) -> int:
    """Return the bytes of ``count`` records and one."""
    return ((1 + count) * bits + 7) // 8 + _SLACK


def _chopped(records: int, following: int, most: int) -> int:
    """Return how many bits of pointers KenLM keeps as carries: as many as takes least room."""
    required = following.bit_length()
    return min(
        range(min(required, most) + 1),
        key=lambda chop: (following >> (required - chop)) * 64 - records * chop,
    )


def _pointers(records: _Records) -> Iterator[Numbers]:
    """Yield where the extensions of records begin, block by block, each with the next one's first.

    The last is where those of the last record end.
    """
    for start in range(0, records.records, _BLOCK):
        places = np.arange(start, min(start + _BLOCK, records.records) + 1, dtype=np.uint64)
        offsets = places * np.uint64(records.bits) + np.uint64(records.bits - records.next_bits)
        pointers = _packed(records.content, offsets, records.next_bits)
        if records.carries is not None:
            carries = np.searchsorted(records.carries, places, "right").astype(np.uint64)
            pointers |= (carries - np.uint64(1)) << np.uint64(records.next_bits)
        yield pointers


def _packed(content: Bytes, offsets: Numbers, bits: int) -> Numbers:
    """Return the numbers of ``bits`` bits, at most 57, at ``offsets``, which count bits."""
    numbers = np.zeros(len(offsets), np.uint64)
    first = (offsets >> np.uint64(3)).astype(np.int64)
    for place in range(8):
        numbers |= content[first + place].astype(np.uint64) << np.uint64(8 * place)
    return (numbers >> (offsets & np.uint64(7))) & np.uint64((1 << bits) - 1)


def _check_order(blocks: Sequence[Numbers] | Iterator[Numbers], following: int) -> None:
    """Require of pointers that none is smaller than the one before, or beyond ``following``."""
    for pointers in blocks:
        if (pointers[1:] < pointers[:-1]).any() or pointers[-1] > following:
            raise _DamagedError("a pointer to longer n-grams leads to none")
