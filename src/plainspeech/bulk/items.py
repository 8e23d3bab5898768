"""The recordings of a bulk transcription: where they are, and in which order they are done."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plainspeech.audio import EXTENSIONS
from plainspeech.bulk.work import Item
from plainspeech.data.manifest import manifest_text, parse_records
from plainspeech.errors import DataError


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes:
        items: at least one, in order.
        skipped: files that do not have the extension of a recording.
    """

    items: Sequence[Item]
    skipped: int = 0


def find_items(source: str) -> Found:
    """Return the recordings that ``source`` names.

    Args:
        source: a folder, of which every recording in it and below counts, its path below the folder
            being its id; or a manifest, see `plainspeech.data.manifest`, of which a text is not
            needed here.

    Raises:
        DataError: there is none, an id occurs twice, or the manifest cannot be read.
    """
    path = Path(source)
    found = _in_folder(path) if path.is_dir() else _in_manifest(path)
    if not found.items:
        raise DataError(
            f"{source}: has no recording; by their extensions these count: "
            f"{', '.join(sorted(EXTENSIONS))}"
            if path.is_dir()
            else f"{source}: the manifest has no utterance"
        )
    return found


def _in_folder(folder: Path) -> Found:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    shown = [path for path in files if not path.name.startswith(".")]
    recordings = [path for path in shown if path.suffix.lower() in EXTENSIONS]
    items = [
        Item(path.relative_to(folder).as_posix(), _absolute(path), path.stat().st_size)
        for path in recordings
    ]
    return Found(items, len(shown) - len(recordings))


def _in_manifest(path: Path) -> Found:
    first: dict[str, str] = {}
    items = []
    for where, record in parse_records(manifest_text(path), str(path)):
        item = _item(record, where, path.parent)
        if item.id in first:
            raise DataError(f"{where}: the id {item.id!r} is that of {first[item.id]}, too")
        first[item.id] = where
        items.append(item)
    return Found(_comparable(items))


def _item(record: dict[str, Any], where: str, folder: Path) -> Item:
    for key in ("audio", "id"):
        if not isinstance(record.get(key), str):
            raise DataError(f"{where}: the key {key!r} is missing or not a string")
    seconds = record.get("duration")
    if not (isinstance(seconds, float) and math.isfinite(seconds) and seconds > 0):
        seconds = math.nan
    return Item(record["id"], _absolute(folder / record["audio"]), seconds)


def _comparable(items: Sequence[Item]) -> Sequence[Item]:
    """Return ``items`` with the sizes of their files, unless the durations of all are known."""
    if not any(math.isnan(item.size) for item in items):
        return items
    return [replace(item, size=_bytes(item.audio)) for item in items]


def _bytes(file: str) -> float:
    try:
        return Path(file).stat().st_size
    except (OSError, ValueError):  # whoever reads it says so
        return math.nan


def _absolute(path: Path) -> str:
    # A link's own name is the one that the user knows, so that it is not resolved.
    return os.path.abspath(path)  # noqa: PTH100


def planned(items: Iterable[Item], workers: int) -> Iterator[Item]:
    """Yield ``items`` in the order in which ``workers`` should begin them, with their threads.

    The longest come first, so that none is left when everything else is done. An item that is more
    than a worker's share of what is left when it is begun gets as many threads as there are
    workers: they would wait for it otherwise. Where a size is not known all count the same.
    """
    every = list(items)
    known = not any(math.isnan(item.size) for item in every)
    sizes = [item.size if known else 1.0 for item in every]
    left = sum(sizes)
    for size, item in sorted(zip(sizes, every, strict=True), key=lambda pair: -pair[0]):
        yield replace(item, threads=workers if size > left / workers else 1)
        left -= size
