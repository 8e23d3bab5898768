"""The files that a record lists, with size and SHA-256 of each."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from plainspeech.artifact.kind import Kind
from plainspeech.artifact.reading import FolderReader, MappingReader, Read
from plainspeech.artifact.record import Record
from plainspeech.verified_files import is_verified, remember_verified

LARGEST_ARTIFACT = 1 << 31
"""Bytes of all files that a record lists: what an ONNX file can hold."""

_BLOCK = 1 << 20  # bytes
_LONGEST_NAME = 200  # characters
# Listed files lie beside the record: no "..", no absolute path.
_SAFE_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*")


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


def has_checksum(path: Path, listed: Record) -> bool:
    """Return whether the file ``path`` has the size and SHA-256 that ``listed`` has.

    It is read only where this version of it was not verified before.

    Raises:
        PlainspeechError: it cannot be read, or ``listed`` has no such values.
    """
    size, sha256 = listed.take("bytes", int), listed.take("sha256", str)
    try:
        status = path.stat()
    except OSError as error:
        raise listed.kind.error(f"{path}: cannot be read: {error.strerror}") from error
    if status.st_size == size and is_verified(path, status, sha256):
        return True
    if checksum(path, listed.kind) != {"bytes": size, "sha256": sha256}:
        return False
    remember_verified(path, status, sha256)
    return True


def read_listed(read: Read, record: Record) -> dict[str, bytes]:
    """Return the files that ``record`` lists, each as it was written.

    Raises:
        PlainspeechError: one is missing, or is not the one that was written,
            or all together are larger than `LARGEST_ARTIFACT`.
    """
    listed = _listed(record)
    return {name: _read_checked(read, name, *listed[name], record) for name in listed}


class NamedFiles(Mapping[str, bytes]):
    """Files by their names, each read when it is asked for; how is the subclass's.

    Args:
        listed: by the names, whatever it takes to read them.
    """

    def __init__(self, listed: Mapping[str, Any]) -> None:
        self._listed = listed

    def __contains__(self, name: object) -> bool:
        return name in self._listed

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)


class ListedFiles(NamedFiles):
    """The files that a record lists, each as it was written; it is read when it is asked for.

    Args:
        read: of the folder or zip.
        record: lists them.

    Raises:
        PlainspeechError: when a file is asked for, as `read_listed`.
    """

    def __init__(self, read: Read, record: Record) -> None:
        super().__init__(_listed(record))
        self._read = read
        self._record = record

    def __getitem__(self, name: str) -> bytes:
        size, digest = self._listed[name]
        return _read_checked(self._read, name, size, digest, self._record)


def check_listed(read: Read, record: Record) -> None:
    """Check the files that ``record`` lists, and read only those that were not verified before.

    Raises:
        PlainspeechError: as `read_listed`.
    """
    for name, (size, sha256) in _listed(record).items():
        verifying = read if isinstance(read, (FolderReader, MappingReader)) else None
        if not (verifying and verifying.is_verified(name, size, sha256)):
            _read_checked(read, name, size, sha256, record)


def _listed(record: Record) -> dict[str, tuple[int, str]]:
    """Return size and SHA-256 of the files that ``record`` lists."""
    listed = record.part("files")
    files: dict[str, tuple[int, str]] = {}
    room = LARGEST_ARTIFACT
    for name in listed.values:
        if not _SAFE_NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
            raise listed.error(
                f": {name[:40]!r} is not allowed as the name of a file of a {record.kind.name}"
            )
        part = listed.part(name)
        size, sha256 = part.take("bytes", int), part.take("sha256", str)
        if not 0 <= size <= room:
            raise part.error(
                f": {str(size)[:20]} bytes are more than a {record.kind.name} may have"
            )
        files[name] = size, sha256
        room -= size
    return files


def _read_checked(read: Read, name: str, size: int, sha256: str, record: Record) -> bytes:
    content: bytes | None
    if isinstance(read, FolderReader):
        content = read.checked(name, size, sha256)
    else:
        content = read(name, size + 1)
        if len(content) != size or hashlib.sha256(content).hexdigest() != sha256:
            content = None
    if content is None:
        raise record.kind.error(
            f"{record.origin}: {name} is damaged: its size or SHA-256 differs from that in "
            f"{record.kind.record}"
        )
    return content
