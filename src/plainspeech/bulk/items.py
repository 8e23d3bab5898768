"""The recordings of a bulk transcription: where they are, and in which order they are done."""

from __future__ import annotations

import math
import os
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from plainspeech.audio import EXTENSIONS
from plainspeech.bulk import storage
from plainspeech.bulk.work import Item
from plainspeech.data.manifest import manifest_text, parse_records
from plainspeech.errors import DataError
from plainspeech.files import files_below, shown


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes:
        items: at least one, in order.
        skipped: files that do not have the extension of a recording.
        problems: a line for each folder that cannot be read.
    """

    items: Sequence[Item]
    skipped: int = 0
    problems: Sequence[str] = ()


def find_items(source: str) -> Found:
    """Return the recordings that ``source`` names.

    Args:
        source: a folder, of which every recording in it and below counts, its path below the folder
            being its id, with what is not UTF-8 in it escaped; or a manifest, see
            `plainspeech.data.manifest`, of which a text is not needed here. A path, or
            the URL of either, see `plainspeech.bulk.storage`.

    Raises:
        DataError: there is none, an id occurs twice, or it cannot be read.
        ConfigurationError: the library for such URLs is not installed.
    """
    if storage.is_url(source):
        text = storage.read_text(source)
        if text is None:
            return _recordings(source, storage.files_below(source))
        return _in_manifest(text, source)
    path = Path(source)
    if path.is_dir():
        return _in_folder(path, source)
    if path.suffix.lower() in EXTENSIONS:
        raise DataError(
            f"{source}: is a recording; name its folder or a manifest, or use 'plainspeech "
            f"transcribe'"
        )
    return _in_manifest(manifest_text(path), source)


def _in_folder(folder: Path, source: str) -> Found:
    files, problems = files_below(folder)
    found = (
        (path.relative_to(folder).as_posix(), _absolute(path), _bytes(str(path), 0.0))
        for path in files
    )
    return replace(_recordings(source, found), problems=problems)


def _recordings(source: str, files: Iterable[tuple[str, str, float]]) -> Found:
    """Return those of ``files`` that are recordings by their extensions."""
    visible = [each for each in files if not posixpath.basename(each[0]).startswith(".")]
    items = [
        Item(shown(name), audio, size)
        for name, audio, size in visible
        if posixpath.splitext(name)[1].lower() in EXTENSIONS
    ]
    if not items:
        extensions = ", ".join(sorted(EXTENSIONS))
        raise DataError(
            f"{source}: has no recording; by their extensions these count: {extensions}"
        )
    return Found(items, len(visible) - len(items))


def _in_manifest(text: str, source: str) -> Found:
    first: dict[str, str] = {}
    items = []
    for where, record in parse_records(text, source):
        item = _item(record, where, posixpath.dirname(source))
        if item.id in first:
            raise DataError(f"{where}: the id {item.id!r} is that of {first[item.id]}, too")
        first[item.id] = where
        items.append(item)
    if not items:
        raise DataError(f"{source}: the manifest has no utterance")
    return Found(_comparable(items))


def _item(record: dict[str, Any], where: str, folder: str) -> Item:
    for key in ("audio", "id"):
        if not isinstance(record.get(key), str):
            raise DataError(f"{where}: the key {key!r} is missing or not a string")
    seconds = record.get("duration")
    if not (isinstance(seconds, float) and math.isfinite(seconds) and seconds > 0):
        seconds = math.nan
    return Item(record["id"], _located(record["audio"], folder), seconds)


def _located(audio: str, folder: str) -> str:
    """Return the URL or absolute path of ``audio``, as a manifest in ``folder`` names it."""
    if storage.is_url(audio):
        return audio
    return (
        storage.joined(folder, audio) if storage.is_url(folder) else _absolute(Path(folder, audio))
    )


def _comparable(items: Sequence[Item]) -> Sequence[Item]:
    """Return ``items`` with the sizes of their files, unless the durations of all are known."""
    if not any(math.isnan(item.size) for item in items):
        return items
    return [replace(item, size=_bytes(item.audio)) for item in items]


def _bytes(file: str, unknown: float = math.nan) -> float:
    try:
        return Path(file).stat().st_size
    except (OSError, ValueError):  # whoever reads it says so
        return unknown


def _absolute(path: Path) -> str:
    # A link's own name is the one that the user knows, so that it is not resolved.
    return os.path.abspath(path)  # noqa: PTH100


def planned(items: Iterable[Item], workers: int) -> Iterator[Item]:
    """Yield ``items`` in the order in which ``workers`` should begin them, with their threads.

    The longest come first, so that none is left when everything else is done. An item that is more
    than a worker's share of what is left when it is begun gets as many threads as there are
    workers: they would wait for it otherwise. Where a size is not known all count the same.
    """
    every = list(items)[::-1]  # those of one size keep their order
    if any(math.isnan(item.size) for item in every):
        sizes = {item.id: 1.0 for item in every}
    else:
        sizes = {item.id: item.size for item in every}
    every.sort(key=lambda item: sizes[item.id])
    left = list(accumulate(sizes[item.id] for item in every))  # of each and what is begun later
    for item, total in zip(reversed(every), reversed(left), strict=True):
        yield replace(item, threads=workers if sizes[item.id] > total / workers else 1)
