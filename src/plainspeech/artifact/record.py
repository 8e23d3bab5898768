"""Records: JSON that carries its own SHA-256 and those of the files beside it.

A record is checked key by key, and the files that it lists are checked when they are read. Errors
are of the class that the kind has: `ModelError` for a bundle, say.
"""

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

from plainspeech.artifact.storage import Kind, Read
from plainspeech.errors import PlainspeechError

LARGEST_RECORD = 1 << 20
"""Bytes."""

LARGEST_ARTIFACT = 1 << 31
"""Bytes of all files that a record lists: what an ONNX file can hold."""

_BLOCK = 1 << 20  # bytes
_DIGEST = "sha256"
_LONGEST_NAME = 200  # characters

# Listed files lie beside the record: no "..", no absolute path.
_SAFE_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*")

_T = TypeVar("_T")


@dataclass(frozen=True)
class Record:
    """A JSON object, and the names that messages give it.

    Attributes:
        origin: the folder or zip that it is of.
        kind: what that is.
        values: what the object holds.
        within: the parts of the record that lead to it, for messages.
    """

    origin: Path
    kind: Kind
    values: Mapping[str, Any]
    within: str = ""

    @classmethod
    def parse(cls, origin: Path, kind: Kind, content: bytes) -> Record:
        """Return the record that ``content`` is.

        Raises:
            PlainspeechError: it is no JSON object, or larger
                than `LARGEST_RECORD`.
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
        """What messages call it."""
        return f"{self.origin}: {self.kind.record}{self.within}"

    def error(self, what: str) -> PlainspeechError:
        """Return an error of the kind's class that names the record."""
        return self.kind.error(f"{self.where}{what}")

    def serialise(self) -> bytes:
        """Return the record with its digest, as it is written to a file."""
        values = {**self.values, _DIGEST: self._digest()}
        text = json.dumps(values, ensure_ascii=False, allow_nan=False, indent=2)
        return f"{text}\n".encode()

    def check_digest(self) -> None:
        """Raise an error where the record is not the one that was written."""
        if self.take(_DIGEST, str) != self._digest():
            raise self.error(" is damaged or edited: its SHA-256 is another")

    def take(self, key: str, kind: type[_T]) -> _T:
        """Return the value of ``key``, which must be a ``kind``."""
        value = self.values.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(f": {key!r} is missing or no {kind.__name__}")
        return value

    def number(self, key: str) -> float:
        """Return the value of ``key``, which must be a finite number."""
        value = self.values.get(key)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise self.error(f": {key!r} is missing or no number")
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
        PlainspeechError: it has another format version, or is not the one
            that was written.
    """
    record = Record.parse(origin, kind, read(kind.record, LARGEST_RECORD + 1))
    if kind.version is not None and record.take("format", int) != kind.version:
        raise record.error(
            f": has the format {str(record.values['format'])[:20]}, this plainspeech reads "
            f"{kind.version}; use the plainspeech that it was made with"
        )
    record.check_digest()
    return record


def checksums(files: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the value of a record's ``files``: size and SHA-256 of each."""
    return {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items()
    }


def checksum(path: Path, kind: Kind) -> dict[str, Any]:
    """Return size and SHA-256 of the file ``path``, which may be larger than memory.

    Raises:
        PlainspeechError: it cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            for block in iter(lambda: file.read(_BLOCK), b""):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise kind.error(f"{path}: cannot be read: {error.strerror}") from error
    return {"bytes": size, "sha256": digest.hexdigest()}


def read_listed(read: Read, record: Record) -> dict[str, bytes]:
    """Return the files that ``record`` lists, each as it was written.

    Raises:
        PlainspeechError: one is missing, or is not the one that was written,
            or all together are larger than `LARGEST_ARTIFACT`.
    """
    listed = record.part("files")
    files: dict[str, bytes] = {}
    room = LARGEST_ARTIFACT
    for name in listed.values:
        if not _SAFE_NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
            raise listed.error(f": {name[:40]!r} is no name for a file of a {record.kind.name}")
        files[name] = _read_file(read, name, listed.part(name), room)
        room -= len(files[name])
    return files


def _read_file(read: Read, name: str, record: Record, room: int) -> bytes:
    size, digest = record.take("bytes", int), record.take("sha256", str)
    if not 0 <= size <= room:
        raise record.error(f": {str(size)[:20]} bytes are beyond what a {record.kind.name} takes")
    content = read(name, size + 1)
    if len(content) != size or hashlib.sha256(content).hexdigest() != digest:
        raise record.kind.error(
            f"{record.origin}: {name} is damaged: its size or SHA-256 is not that in "
            f"{record.kind.record}"
        )
    return content


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is beyond what a number can be")
    return value
