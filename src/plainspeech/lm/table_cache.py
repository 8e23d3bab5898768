"""Flattened models and lexicons on disk, mapped into memory when they are needed again.

To flatten a model of five million n-grams takes half a second, and three times the memory of
the result. To check and map a cached one takes a tenth of a second, and memory for the pages that
are read (docs/decisions/0013). A folder of the cache can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from platformdirs import user_cache_path

from plainspeech.artifact.kind import Kind
from plainspeech.artifact.listed_files import checksums, has_checksum
from plainspeech.artifact.reading import reading
from plainspeech.artifact.record import Record, read_record
from plainspeech.artifact.writing import write_folder
from plainspeech.errors import LanguageModelError
from plainspeech.lm import tables as layout
from plainspeech.lm.tables import NGramTables, find_states, with_views
from plainspeech.verified_files import only_ours

Arrays = dict[str, npt.NDArray[Any]]

_KIND = Kind("cache of a scorer", "tables.json", LanguageModelError)
TABLES = ("unigrams", "unigram_states", "states", "slots")
"""Arrays of `NGramTables` that the others are views of."""

_WORTH_IT = 8_000_000  # bytes; a smaller model is flattened faster than it is read
_MOST = 1 << 30  # bytes of all that is kept; of what is larger, it alone


def cached_tables(name: str, flatten: Callable[[], NGramTables]) -> NGramTables:
    """Return the result of ``flatten``, from disk where an earlier process has saved it.

    Args:
        name: of the model, unique.
        flatten: makes the tables.
    """

    def make() -> Arrays:
        made = flatten()
        find_states(made)
        return {array: getattr(made, array) for array in TABLES}

    return with_views(**cached_arrays(name, [layout.__file__], make, TABLES, _WORTH_IT))


def cached_arrays(
    name: str, code: Sequence[str], make: Callable[[], Arrays], arrays: Sequence[str], least: int
) -> Arrays:
    """Return the result of ``make``, from disk where an earlier process has saved it.

    Args:
        name: of the result, unique.
        code: the files of the code that makes it: a later version may make another.
        make: makes arrays.
        arrays: their names.
        least: bytes of all of them that are worth being kept.
    """
    folder = user_cache_path("plainspeech", appauthor=False) / "scorers" / _key(name, code)
    kept = _load(folder, arrays)
    if kept is not None:
        return kept
    made = make()
    if sum(array.nbytes for array in made.values()) < least:
        return made
    _save(folder, made)
    # Mapped, they need memory for the pages that are read alone.
    return _load(folder, arrays) or made


def _key(name: str, code: Sequence[str]) -> str:
    """Return the name of a folder: a hash of the name of what is in it and of what makes it."""
    digest = hashlib.sha256(name.encode())
    for file in code:
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()[:32]


def _load(folder: Path, arrays: Sequence[str]) -> Arrays | None:
    """Return the arrays in ``folder``; None if they are missing or damaged."""
    # Compiled code uses these numbers as indices without a check.
    if not all(map(only_ours, (folder, *folder.glob("*")))):
        return None
    try:
        with reading(folder, _KIND) as read:
            record = read_record(read, folder, _KIND)
        files = {array: folder / f"{array}.npy" for array in arrays}
        listed = record.part("files")
        if not all(has_checksum(file, listed.part(file.name)) for file in files.values()):
            return None
        with suppress(OSError):  # of a cache that can only be read
            os.utime(folder)
        return {array: _mapped(file) for array, file in files.items()}
    except (LanguageModelError, OSError, ValueError):
        return None


def _mapped(file: Path) -> Any:
    """Return an array whose pages are read on demand; changes stay in memory."""
    return np.asarray(np.load(file, mmap_mode="c"))


def _save(folder: Path, arrays: Arrays) -> None:
    """Save ``arrays``, if there is room, and delete the least recently used beyond `_MOST`."""
    files = {f"{name}.npy": _npy(array) for name, array in arrays.items()}
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
