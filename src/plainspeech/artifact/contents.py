"""What a record lists of files, with their sizes and hashes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plainspeech.artifact.record import Record
from plainspeech.artifact.storage import Read
from plainspeech.errors import PlainspeechError

_LARGEST_FILE = 1 << 31  # bytes; what an ONNX file can hold
_BLOCK = 1 << 20  # bytes

# Listed files lie beside the record: no "..", no absolute path.
_SAFE_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*")


def listing(files: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the value of a record's ``files``."""
    return {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items()
    }


def read_listed(read: Read, record: Record) -> dict[str, bytes]:
    """Return the files that ``record`` lists, each as it was written.

    Raises:
        PlainspeechError: one is missing, or is not the one that was written.
    """
    listed = record.part("files")
    return {name: _read_file(read, name, listed.part(name), record.name) for name in listed.values}


def describe(path: Path) -> dict[str, Any]:
    """Return what a record says of the file ``path``, which may be larger than memory.

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
        raise PlainspeechError(f"{path}: cannot be read: {error.strerror}") from error
    return {"bytes": size, "sha256": digest.hexdigest()}


def _read_file(read: Read, name: str, record: Record, manifest: str) -> bytes:
    size, digest = record.take("bytes", int), record.take("sha256", str)
    if not _SAFE_NAME.fullmatch(name):
        raise PlainspeechError(f"{record.where} is no name for a file of a bundle")
    if not 0 <= size <= _LARGEST_FILE:
        raise PlainspeechError(f"{record.where}: {size} bytes are beyond what a model takes")
    content = read(name, size + 1)
    if len(content) != size or hashlib.sha256(content).hexdigest() != digest:
        raise PlainspeechError(
            f"{record.origin}: {name} is damaged: its size or SHA-256 is not that in {manifest}"
        )
    return content
