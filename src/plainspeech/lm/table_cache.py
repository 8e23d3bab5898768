"""Flattened models on disk, mapped into memory when they are needed again.

To flatten a model of five million n-grams takes half a second, and three times the memory of
the result. To check and map a cached one takes a tenth of a second, and memory for the pages that
are read (docs/decisions/0013). A folder of the cache can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from platformdirs import user_cache_path

from plainspeech.artifact import (
    Kind,
    Record,
    checksums,
    has_checksum,
    read_record,
    reading,
    write_folder,
)
from plainspeech.errors import LanguageModelError
from plainspeech.lm import tables as layout
from plainspeech.lm.tables import NGramTables, with_views
from plainspeech.verified_files import only_ours

_KIND = Kind("cache of a scorer", "tables.json", LanguageModelError)
_ARRAYS = ("unigrams", "unigram_states", "states", "slots")
_WORTH_IT = 8_000_000  # bytes; a smaller model is flattened faster than it is read
_MOST = 1 << 30  # bytes of all models that are kept; of one that is larger, it alone


def cached_tables(name: str, flatten: Callable[[], NGramTables]) -> NGramTables:
    """Return the result of ``flatten``, from disk where an earlier process has saved it.

    Args:
        name: of the model, unique.
        flatten: makes the tables.
    """
    folder = user_cache_path("plainspeech", appauthor=False) / "scorers" / _key(name)
    kept = _load(folder)
    if kept is not None:
        return kept
    made = flatten()
    if made.slots.nbytes < _WORTH_IT:
        return made
    _save(folder, made)
    return _load(folder) or made  # mapped, it needs memory for the pages that are read alone


def _key(name: str) -> str:
    """Return the name of a folder: a hash of the model's name and of the code that flattens it."""
    code = Path(layout.__file__).read_bytes()
    return hashlib.sha256(name.encode() + code).hexdigest()[:32]


def _load(folder: Path) -> NGramTables | None:
    """Return the tables in ``folder``; None if they are missing or damaged."""
    # Compiled code uses these numbers as indices without a check.
    if not all(map(only_ours, (folder, *folder.glob("*")))):
        return None
    try:
        with reading(folder, _KIND) as read:
            record = read_record(read, folder, _KIND)
        files = {array: folder / f"{array}.npy" for array in _ARRAYS}
        listed = record.part("files")
        if not all(has_checksum(file, listed.part(file.name)) for file in files.values()):
            return None
        os.utime(folder)
        return with_views(**{array: _mapped(file) for array, file in files.items()})
    except (LanguageModelError, OSError, ValueError):
        return None


def _mapped(file: Path) -> Any:
    """Return an array whose pages are read on demand; changes stay in memory."""
    return np.asarray(np.load(file, mmap_mode="c"))


def _save(folder: Path, tables: NGramTables) -> None:
    """Save ``tables``, if there is room, and delete the least recently used beyond `_MOST`."""
    files = {f"{array}.npy": _npy(getattr(tables, array)) for array in _ARRAYS}
    record = Record(folder, _KIND, {"files": checksums(files)})
    with suppress(LanguageModelError):
        write_folder(folder, {**files, _KIND.record: record.serialise()}, _KIND)
    with suppress(OSError):
        folders = [each for each in folder.parent.iterdir() if each.is_dir()]
        folders.sort(key=lambda each: each.stat().st_mtime_ns, reverse=True)
        sizes = accumulate(sum(file.stat().st_size for file in each.iterdir()) for each in folders)
        for old, together in zip(folders, sizes, strict=True):
            if together > _MOST and old != folder:
                shutil.rmtree(old, ignore_errors=True)


def _npy(array: npt.NDArray[np.generic]) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()
