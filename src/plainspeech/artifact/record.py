"""Records: JSON that carries its own SHA-256, and is checked key by key."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from plainspeech.errors import PlainspeechError

LARGEST_RECORD = 1 << 20  # bytes

_DIGEST = "sha256"

_T = TypeVar("_T")


@dataclass(frozen=True)
class Record:
    """A JSON object, and the names that messages give it.

    Attributes:
        origin: the folder or zip that it is of.
        name: the file in there, and the part of it.
        values: what the object holds.
    """

    origin: Path
    name: str
    values: Mapping[str, Any]

    @classmethod
    def parse(cls, origin: Path, name: str, content: bytes) -> Record:
        """Return the record that ``content`` is.

        Raises:
            PlainspeechError: it is no JSON object, or larger than `LARGEST_RECORD`.
        """
        try:
            if len(content) > LARGEST_RECORD:
                raise ValueError(f"larger than {LARGEST_RECORD} bytes")
            values = json.loads(content, parse_constant=_refuse)
            if not isinstance(values, dict):
                raise ValueError("not a JSON object")
        except (ValueError, RecursionError) as error:
            raise PlainspeechError(f"{origin}: {name} is damaged: {error}") from error
        return cls(origin, name, values)

    @property
    def where(self) -> str:
        """What messages call it."""
        return f"{self.origin}: {self.name}"

    def serialise(self) -> bytes:
        """Return the record with its digest, as it is written to a file."""
        values = {**self.values, _DIGEST: self._digest()}
        text = json.dumps(values, ensure_ascii=False, allow_nan=False, indent=2)
        return f"{text}\n".encode()

    def check_digest(self) -> None:
        """Raise `PlainspeechError` where the record is not the one that was written."""
        if self.take(_DIGEST, str) != self._digest():
            raise PlainspeechError(f"{self.where} is damaged or edited: its SHA-256 is another")

    def take(self, key: str, kind: type[_T]) -> _T:
        """Return the value of ``key``, which must be a ``kind``."""
        value = self.values.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise PlainspeechError(f"{self.where}: {key!r} is missing or no {kind.__name__}")
        return value

    def number(self, key: str) -> float:
        """Return the value of ``key``, which must be a finite number."""
        value = self.values.get(key)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise PlainspeechError(f"{self.where}: {key!r} is missing or no number")
        # An integer may be beyond what a float holds.
        if not abs(value) < sys.float_info.max:
            raise PlainspeechError(f"{self.where}: {key!r} is {value}, which is not finite")
        return float(value)

    def part(self, key: str) -> Record:
        """Return the object that is the value of ``key``."""
        return Record(self.origin, f"{self.name}: {key}", self.take(key, dict))

    @contextmanager
    def named(self) -> Iterator[None]:
        """Put the record's name before the message of an error in the block."""
        try:
            yield
        except PlainspeechError as error:
            raise PlainspeechError(f"{self.where}: {error}") from error

    def _digest(self) -> str:
        """SHA-256 of everything but the digest, however it is spaced and ordered."""
        values = {key: value for key, value in self.values.items() if key != _DIGEST}
        canonical = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")
