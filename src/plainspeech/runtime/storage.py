"""The files of a model bundle: a folder of them, or one zip of it."""

from __future__ import annotations

import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from plainspeech.errors import PlainspeechError
from plainspeech.files import write_atomically

Read = Callable[[str, int], bytes]
"""Takes a file's name in the bundle and the most bytes to read of it."""

MANIFEST = "bundle.json"


@contextmanager
def reading(path: Path) -> Iterator[Read]:
    """Yield what reads the files of the folder or zip ``path``; nothing is unpacked to disk.

    Raises:
        PlainspeechError: here where ``path`` is neither, and later where it has no such file.
    """
    with ExitStack() as stack:
        if path.is_dir():
            yield lambda name, limit: _read_file(path, name, limit)
        elif not path.exists():
            raise PlainspeechError(f"{path}: no such model bundle")
        else:
            try:
                archive = stack.enter_context(zipfile.ZipFile(path))
            except (OSError, zipfile.BadZipFile) as error:
                raise PlainspeechError(
                    f"{path}: is no model bundle: neither a folder nor a zip ({error})"
                ) from error
            yield lambda name, limit: _read_member(path, archive, name, limit)


def _read_file(folder: Path, name: str, limit: int) -> bytes:
    try:
        with (folder / name).open("rb") as file:
            return file.read(limit)
    except FileNotFoundError as error:
        raise PlainspeechError(f"{folder}: is no model bundle: {name} is missing") from error
    except OSError as error:
        raise PlainspeechError(f"{folder / name}: cannot be read: {error.strerror}") from error


def _read_member(path: Path, archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    try:
        with archive.open(_top(archive) + name) as member:
            return member.read(limit)
    except KeyError as error:
        raise PlainspeechError(f"{path}: is no model bundle: {name} is missing") from error
    # What zipfile raises for damaged, encrypted and exotically compressed members.
    except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise PlainspeechError(f"{path}: {name} is damaged: {error}") from error


def _top(archive: zipfile.ZipFile) -> str:
    """Return the folder in which a zip of a folder has its files, with a slash; often empty."""
    names = (name for name in archive.namelist() if name.split("/")[-1] == MANIFEST)
    return min(names, key=len, default=MANIFEST)[: -len(MANIFEST)]


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write ``files`` as ``folder``, whole or not at all; a bundle that is there is replaced.

    Raises:
        PlainspeechError: ``folder`` is something else than a bundle, or cannot be written.
    """
    if not _replaceable(folder):
        raise PlainspeechError(f"{folder}: exists and is no model bundle; choose another folder")
    target = folder.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # In a folder beside it, so that renaming is all that is left to do.
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as name:
            fresh = Path(name) / "new"
            for file, content in files.items():
                write_atomically(fresh / file, content)
            _swap(fresh, target, aside=Path(name) / "old")
    except OSError as error:
        raise PlainspeechError(f"{folder}: cannot be written: {error.strerror}") from error


def _replaceable(folder: Path) -> bool:
    if not folder.exists():
        return True
    return folder.is_dir() and ((folder / MANIFEST).is_file() or not any(folder.iterdir()))


def _swap(fresh: Path, target: Path, aside: Path) -> None:
    if not target.exists():
        fresh.rename(target)
        return
    target.rename(aside)
    try:
        fresh.rename(target)
    except OSError:
        aside.rename(target)
        raise
