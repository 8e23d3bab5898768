"""Manifests: one JSON object an utterance and line; long passes over them show progress."""

from __future__ import annotations

import json
import math
import os
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

from plainspeech.errors import DataError
from plainspeech.files import write_atomically

_TYPES = {"id": str, "audio": str, "text": str, "duration": float, "speaker": str}
_NAMES = {str: "string", float: "number"}
_MENDS = {"duration": "; 'plainspeech data prepare' adds it"}
T = TypeVar("T")


@dataclass(frozen=True)
class Utterance:
    """One recording and what is said in it.

    Attributes:
        id: unique within a corpus.
        audio: path of the recording; relative paths in a manifest are relative to the manifest.
        text: the reference transcript, normalised to the alphabet.
        duration: seconds.
        speaker: who speaks; empty where unknown.
        origin: the manifest and line it was read from, for messages.
    """

    id: str
    audio: Path
    text: str
    duration: float
    speaker: str = ""
    origin: str = field(default="", compare=False)


def read_manifest(path: Path, *, durations: bool = True) -> list[Utterance]:
    """Read a JSONL manifest.

    Args:
        path: of the manifest.
        durations: whether every line must have one; where it need not, a missing one reads as 0.

    Raises:
        DataError: the file cannot be read, or a line (named by number) is not an utterance.
    """
    try:
        # Lines end at a newline alone: a transcript may hold what str.splitlines takes for one.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot read the manifest: {error}") from error
    defaults: dict[str, Any] = {"speaker": ""} if durations else {"speaker": "", "duration": 0.0}
    utterances = [
        _parse(line, f"{path}, line {number}", path.parent, defaults)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    if not utterances:
        raise DataError(f"{path}: the manifest has no utterance")
    return utterances


def _parse(line: str, where: str, folder: Path, defaults: dict[str, Any]) -> Utterance:
    try:
        # Whole numbers as floats: a duration of 12 is one of 12.0, however many digits it has.
        record = json.loads(line, parse_int=float)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{where}: not JSON: {error}") from error
    if not isinstance(record, dict):
        raise DataError(f"{where}: an utterance must be a JSON object")
    record = defaults | record
    for key, kind in _TYPES.items():
        if key not in record:
            raise DataError(f"{where}: the key {key!r} is missing{_MENDS.get(key, '')}")
        if not isinstance(record[key], kind):
            raise DataError(
                f"{where}: {key!r} is {reprlib.repr(record[key])}; it must be a {_NAMES[kind]}"
            )
    if not (math.isfinite(record["duration"]) and record["duration"] >= 0):
        raise DataError(f"{where}: 'duration' is {record['duration']!r}; it must be seconds")
    return Utterance(
        id=record["id"],
        audio=folder / record["audio"],
        text=record["text"],
        duration=record["duration"],
        speaker=record["speaker"],
        origin=where,
    )


def write_manifest(path: Path, utterances: Iterable[Utterance]) -> None:
    """Write ``utterances`` as JSONL, whole or not at all.

    A recording below the manifest's folder, or below that folder's parent, is named relative to
    the manifest, so that the two can be moved together; any other by its absolute path.

    Raises:
        DataError: the file cannot be written.
    """
    try:
        lines = [f"{_line(utterance, path.parent)}\n" for utterance in utterances]
        write_atomically(path, "".join(lines).encode())
    except (OSError, UnicodeEncodeError) as error:
        raise DataError(f"{path}: cannot write the manifest: {error}") from error


def _line(utterance: Utterance, folder: Path) -> str:
    record = {key: getattr(utterance, key) for key in _TYPES}
    record["audio"] = _path_from(_real(folder), utterance.audio)
    return json.dumps(record, ensure_ascii=False)


def _path_from(folder: Path, audio: Path) -> str:
    # The recording itself is not resolved: a link's own name is the one with the suffix.
    absolute = _real(audio.parent) / audio.name
    try:
        relative = Path(os.path.relpath(absolute, folder))
    except ValueError:  # another drive of Windows
        return absolute.as_posix()
    return (absolute if relative.parts[:2] == ("..", "..") else relative).as_posix()


@cache
def _real(folder: Path) -> Path:
    return folder.resolve()


class Track(Protocol):
    """Shows how far an iteration is."""

    def __call__(self, items: Iterable[T], total: int) -> Iterable[T]:
        """Pass ``items``, of which there are ``total``, on."""


def untracked(items: Iterable[T], total: int) -> Iterable[T]:
    """Pass ``items`` on and show nothing."""
    del total
    return items
