"""Manifests: an utterance a line, as JSON or CSV; long passes over them show progress."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import reprlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

from plainspeech import audio
from plainspeech.cores import available_cores, in_threads
from plainspeech.data.download import SUBSETS
from plainspeech.errors import DataError, PlainspeechError, why_unreadable
from plainspeech.files import shown, write_atomically

_TYPES = {"id": str, "audio": str, "text": str, "duration": float, "speaker": str}
_DEFAULTS: dict[str, Any] = {"speaker": "", "duration": 0.0}
_NAMES = {str: "string", float: "number"}
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
    """Read a manifest: JSONL of this package or of NeMo, or a CSV of DeepSpeech.

    Only the recording and its text are needed. The id is then the recording's path as it stands
    there, without suffix, and the duration is what the recording's header tells.

    Args:
        path: of the manifest.
        durations: whether to measure those that are missing; they read as 0 otherwise.

    Raises:
        DataError: the file cannot be read, a line (named by number) is not an utterance, or a
            recording without duration cannot be read.
    """
    records = parse_records(manifest_text(path), str(path))
    utterances = [_utterance(record, where, path.parent) for where, record in records]
    if not utterances:
        raise DataError(f"{path}: the manifest has no utterance")
    if durations and any(math.isnan(utterance.duration) for utterance in utterances):
        return in_threads(_measured, utterances, available_cores())
    return [replace(u, duration=0.0) if math.isnan(u.duration) else u for u in utterances]


def manifest_text(path: Path) -> str:
    """Return the content of the manifest ``path``.

    Raises:
        DataError: it cannot be read; the message says how to make that of a known corpus.
    """
    try:
        # Line ends stay: a transcript may hold what str.splitlines takes for one.
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such manifest{_how_to_make(path)}") from error
    except IsADirectoryError as error:
        raise DataError(
            f"{path}: is a folder; make a manifest of it with 'plainspeech data prepare {path} "
            f"-o {path.name}.jsonl'"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot read the manifest: {why_unreadable(error)}") from error


def _how_to_make(path: Path) -> str:
    """Return the commands that make a manifest of a corpus that can be downloaded."""
    if path.stem not in SUBSETS:
        return ""
    folder = path.parent.as_posix()
    return (
        f"; make it with 'plainspeech data download --subset {path.stem} {folder}' and "
        f"'plainspeech data prepare {folder}/LibriSpeech/{path.stem} -o {path.as_posix()}'"
    )


def parse_records(text: str, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield place and record of each utterance of a manifest, whatever keys it has.

    The keys of other tools have this package's names, and a recording without id has its path,
    without suffix, for one.

    Args:
        text: of the manifest.
        name: of the manifest, for messages; one that ends in ``.csv`` is a CSV.

    Raises:
        DataError: a line, named by number, is not a record, or is a part of a recording.
    """
    read = _read_csv if name.lower().endswith(".csv") else _read_lines
    return ((where, _with_our_names(record, where)) for where, record in read(text, name))


def _read_lines(text: str, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield place and record of each line of a JSONL manifest."""
    for number, line in enumerate(text.split("\n"), start=1):
        where = f"{name}, line {number}"
        if not line.strip():
            continue
        try:
            # Whole numbers as floats: a duration of 12 is one of 12.0, however many digits it has.
            record = json.loads(line, parse_int=float)
        except (json.JSONDecodeError, RecursionError) as error:
            raise DataError(f"{where}: not JSON: {error}") from error
        if not isinstance(record, dict):
            raise DataError(f"{where}: an utterance must be a JSON object")
        yield where, record


def _read_csv(text: str, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield place and record of each row of a CSV with a line of names."""
    rows = csv.DictReader(io.StringIO(text, newline=""))
    try:
        for row in rows:
            # Sizes of files, and columns that have no name or no value, tell nothing.
            record: dict[str, Any] = {
                key: value for key, value in row.items() if key and value is not None
            }
            with suppress(KeyError, ValueError):
                record["duration"] = float(record["duration"])
            yield f"{name}, line {rows.line_num}", record
    except csv.Error as error:
        raise DataError(f"{name}, line {rows.line_num}: not CSV: {error}") from error


_OTHER_NAMES = {"wav_filename": "audio", "transcript": "text", "audio_filepath": "audio"}
"""Of DeepSpeech's CSV and NeMo's JSONL."""


def _with_our_names(record: dict[str, Any], where: str) -> dict[str, Any]:
    record = {_OTHER_NAMES.get(key, key): value for key, value in record.items()}
    if record.get("offset"):
        raise DataError(f"{where}: a recording from its 'offset' on: cut it into a file of its own")
    if isinstance(record.get("audio"), str):
        # Any string, a path or not.
        record = {"id": os.path.splitext(record["audio"])[0], **record}  # noqa: PTH122
    if isinstance(record.get("id"), str):
        record["id"] = shown(record["id"])
    return record


def _utterance(record: dict[str, Any], where: str, folder: Path) -> Utterance:
    unmeasured = "duration" not in record
    record = {**_DEFAULTS, **record}
    for key, kind in _TYPES.items():
        if key not in record:
            raise DataError(f"{where}: the key {key!r} is missing")
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
        duration=math.nan if unmeasured else record["duration"],
        speaker=record["speaker"],
        origin=where,
    )


def _measured(utterance: Utterance) -> Utterance:
    """Return ``utterance`` with the duration of its recording, if it has none."""
    if not math.isnan(utterance.duration):
        return utterance
    try:
        return replace(utterance, duration=audio.duration(utterance.audio))
    except PlainspeechError as error:
        raise DataError(f"{utterance.origin}: {utterance.id}: {error}") from error


def write_manifest(path: Path, utterances: Iterable[Utterance]) -> None:
    """Write ``utterances`` as JSONL, whole or not at all.

    A recording below the manifest's folder, or below that folder's parent, is named relative to
    the manifest, so that the two can be moved together; any other by its absolute path.

    Raises:
        DataError: the file cannot be written.
    """
    try:
        lines = [f"{_line(utterance, path.parent)}\n" for utterance in utterances]
        # What is no UTF-8 in the name of a recording is escaped as JSON has it.
        write_atomically(path, "".join(lines).encode(errors="backslashreplace"))
    except OSError as error:
        raise DataError(f"{path}: cannot write the manifest: {error.strerror}") from error


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


def _real(folder: Path) -> Path:
    return _resolved(folder.absolute())  # what a relative path is, the working directory decides


@cache
def _resolved(folder: Path) -> Path:
    return folder.resolve()


class Track(Protocol):
    """Shows the progress of an iteration."""

    def __call__(self, items: Iterable[T], total: int) -> Iterable[T]:
        """Yield ``items``, of which there are ``total``."""


def untracked(items: Iterable[T], total: int) -> Iterable[T]:
    """Yield ``items`` without showing progress."""
    del total
    return items
