"""The record of a folder or zip: JSON that is checked key by key, with a SHA-256 of its own."""

from __future__ import annotations

import hashlib
import json
import math
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from plainspeech.artifact.kind import Kind
from plainspeech.artifact.reading import Read, reading
from plainspeech.errors import PlainspeechError

LARGEST_RECORD = 1 << 20
"""Bytes."""

_DIGEST = "sha256"
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_SHOWN = 20  # characters of a format version that is not known
_T = TypeVar("_T")


@dataclass(frozen=True)
class Record:
    """The JSON record of an artifact, or an object within it.

    Attributes:
        origin: the folder or zip that it is of.
        kind: of artifact.
        values: of the object.
        within: its path in the record, for messages.
    """

    origin: Path
    kind: Kind
    values: Mapping[str, Any]
    within: str = ""

    @classmethod
    def parse(cls, origin: Path, kind: Kind, content: bytes) -> Record:
        """Parse ``content``.

        Raises:
            PlainspeechError: it is not a JSON object, or larger than `LARGEST_RECORD`.
        """
        try:
            if len(content) > LARGEST_RECORD:
                raise ValueError(f"larger than {LARGEST_RECORD} bytes")
            values = json.loads(content, parse_constant=_refuse, parse_float=_finite)
            if not isinstance(values, dict):
                raise ValueError("not a JSON object")
            json.dumps(values, ensure_ascii=False).encode()  # fails for half of a surrogate pair
        except (ValueError, RecursionError) as error:
            raise kind.error(f"{origin}: {kind.record} is damaged: {error}") from error
        return cls(origin, kind, values)

    @property
    def where(self) -> str:
        """Its name in messages."""
        return f"{self.origin}: {self.kind.record}{self.within}"

    def error(self, what: str) -> PlainspeechError:
        """Return an error of the kind's class that names the record."""
        return self.kind.error(f"{self.where}{what}")

    def serialise(self) -> bytes:
        """Return the record with its digest, as it is written to a file.

        Halves of surrogate pairs, as names of files that are not UTF-8 have them, are escaped.
        """
        text = json.dumps({**self.values}, ensure_ascii=False, allow_nan=False)
        values = json.loads(_HALF_PAIR.sub(lambda half: rf"\\u{ord(half[0]):x}", text))
        values[_DIGEST] = Record(self.origin, self.kind, values)._digest()
        text = json.dumps(values, ensure_ascii=False, allow_nan=False, indent=2)
        return f"{text}\n".encode()

    def check_digest(self) -> None:
        """Raise an error where the record is not the one that was written."""
        if self.take(_DIGEST, str) != self._digest():
            raise self.error(" is damaged or edited: its SHA-256 does not match")

    def take(self, key: str, kind: type[_T]) -> _T:
        """Return the value of ``key``, which must be a ``kind``."""
        value = self.values.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(f": {key!r} is missing or not of type {kind.__name__}")
        return value

    def number(self, key: str) -> float:
        """Return the value of ``key``, which must be a finite number."""
        value = self.values.get(key)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise self.error(f": {key!r} is missing or not a number")
        # An integer may be beyond what a float holds.
        if not abs(value) < sys.float_info.max:
            raise self.error(f": {key!r} is {str(value)[:20]}, which is not finite")
        return float(value)

    def part(self, key: str) -> Record:
        """Return the object that is the value of ``key``."""
        return Record(self.origin, self.kind, self.take(key, dict), f"{self.within}: {key}")

    @contextmanager
    def named(self) -> Iterator[None]:
        """Put the record's name before the message of an error in the block."""
        try:
            yield
        except PlainspeechError as error:
            raise self.error(f": {error}") from error

    def _digest(self) -> str:
        """SHA-256 of everything but the digest, however it is spaced and ordered."""
        values = {key: value for key, value in self.values.items() if key != _DIGEST}
        canonical = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


def read_record(read: Read, origin: Path, kind: Kind) -> Record:
    """Return the record of the folder or zip ``origin``, whose files ``read`` reads.

    Raises:
        PlainspeechError: it has another format version, or differs from what was written.
    """
    record = Record.parse(origin, kind, read(kind.record, LARGEST_RECORD + 1))
    if kind.version is not None:
        check_version(record.take("format", int), kind.version, record.where, kind.error)
    record.check_digest()
    return record


def digest_of(path: Path, kind: Kind) -> str:
    """Return the SHA-256 in the record of ``path``, a folder or zip: other files, another digest.

    Raises:
        PlainspeechError: ``path`` is none of ``kind``, or its record is damaged.
    """
    with reading(path, kind) as read:
        return read_record(read, path, kind).take(_DIGEST, str)


def check_version(found: object, known: int, where: str, error: type[PlainspeechError]) -> None:
    """Raise ``error``, naming ``where``, unless the format version ``found`` is the ``known``."""
    if found != known:
        raise error(
            f"{where}: has the format {str(found)[:_SHOWN]}, this plainspeech reads {known}; use "
            f"the plainspeech that it was made with"
        )


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is beyond what a number can be")
    return value
