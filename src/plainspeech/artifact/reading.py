"""Reads the files of a folder, of a zip of one, or of one in memory."""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from plainspeech.artifact.kind import Kind
from plainspeech.verified_files import is_verified, remember_verified, same_version

_LARGEST_RATIO = 100  # of a file in a zip, unpacked to packed; weights have hardly any
_ENCRYPTED = 1  # flag of a file in a zip
_SMALL = 1 << 20  # bytes, of a file for which that does not matter

Read = Callable[[str, int], bytes]
"""Takes a file's name in the folder and the most bytes to read of it."""


@contextmanager
def reading(path: Path, kind: Kind) -> Iterator[Read]:
    """Yield a function that reads files of the folder or zip ``path``; nothing is unpacked to disk.

    Raises:
        PlainspeechError: here where ``path`` is neither, and later where it has no such file.
    """
    with ExitStack() as stack:
        if path.is_dir():
            yield FolderReader(path, kind)
        elif not path.exists():
            raise kind.error(f"{path}: no such {kind.name}")
        else:
            try:
                archive = stack.enter_context(zipfile.ZipFile(path))
            # The last two for a directory that asks for a later zip, or has names of no letters.
            except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
                raise kind.error(
                    f"{path}: is not a {kind.name}: neither a folder nor a zip ({error})"
                ) from error
            yield lambda name, limit: _read_member(path, kind, archive, name, limit)


def from_memory(origin: Path, kind: Kind, files: Mapping[str, bytes]) -> Read:
    """Return a function that reads ``files``, by their names, as `reading` does those of a folder.

    Raises:
        PlainspeechError: later, where there is no such file.
    """
    return MappingReader(origin, kind, files)


class MappingReader:
    """Reads files that were verified where they come from, such as those of a bundle.

    Args:
        origin: of the files, for messages.
        kind: what they are.
        files: by their names.
    """

    def __init__(self, origin: Path, kind: Kind, files: Mapping[str, bytes]) -> None:
        self._origin = origin
        self._kind = kind
        self._files = files

    def __call__(self, name: str, limit: int) -> bytes:
        """Return up to ``limit`` bytes of the file ``name``."""
        if name not in self._files:
            raise self._kind.error(f"{self._origin}: is not a {self._kind.name}: {name} is missing")
        return self._files[name][:limit]

    def is_verified(self, name: str, size: int, sha256: str) -> bool:
        """Return whether there is such a file; it is not read for that."""
        del size, sha256
        return name in self._files


def _read(file: BinaryIO, limit: int) -> bytes:
    """Return up to ``limit`` bytes; a reader takes memory for all that it is asked for."""
    return file.read(min(limit, os.fstat(file.fileno()).st_size + 1))


class FolderReader:
    """Reads the files of a folder; those whose version was verified before are not hashed again.

    Args:
        folder: of the files.
        kind: what it is.
    """

    def __init__(self, folder: Path, kind: Kind) -> None:
        self._folder = folder
        self._kind = kind

    def __call__(self, name: str, limit: int) -> bytes:
        """Return up to ``limit`` bytes of the file ``name``."""
        with self._opened(name) as file:
            return _read(file, limit)

    def checked(self, name: str, size: int, sha256: str) -> bytes | None:
        """Return the file ``name``; None where it has another size or SHA-256."""
        path = self._folder / name
        with self._opened(name) as file:
            status = os.fstat(file.fileno())
            content = _read(file, size + 1)
            unchanged = same_version(status, os.fstat(file.fileno()))
        if len(content) != size:
            return None
        if not (unchanged and is_verified(path, status, sha256)):
            if hashlib.sha256(content).hexdigest() != sha256:
                return None
            remember_verified(path, status, sha256)
        return content

    def is_verified(self, name: str, size: int, sha256: str) -> bool:
        """Return whether this version of the file ``name`` was verified before."""
        path = self._folder / name
        try:
            status = path.stat()
        except OSError:
            return False
        return status.st_size == size and is_verified(path, status, sha256)

    def _within(self, name: str) -> str:
        """Return which folder in this one may be meant, as that of a run has its bundle in it."""
        meant = sorted(self._folder.glob(f"*/{name}")) if name == self._kind.record else ()
        return f"; {meant[0].parent} is one" if meant else ""

    @contextmanager
    def _opened(self, name: str) -> Iterator[BinaryIO]:
        try:
            with (self._folder / name).open("rb") as file:
                yield file
        except FileNotFoundError as error:
            raise self._kind.error(
                f"{self._folder}: is not a {self._kind.name}: {name} is missing{self._within(name)}"
            ) from error
        except OSError as error:
            raise self._kind.error(
                f"{self._folder / name}: cannot be read: {error.strerror}"
            ) from error


def _read_member(path: Path, kind: Kind, archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    try:
        info = archive.getinfo(_top(archive, kind.record) + name)
        if info.file_size > _LARGEST_RATIO * info.compress_size + _SMALL:
            ratio = info.file_size // max(1, info.compress_size)
            raise ValueError(f"its size is {ratio} times that in the zip")
        if info.flag_bits & _ENCRYPTED:
            raise ValueError("it is encrypted")
        with archive.open(info) as member:
            return member.read(limit)
    except KeyError as error:
        raise kind.error(f"{path}: is not a {kind.name}: {name} is missing") from error
    # What zipfile raises for damaged, encrypted and exotically compressed members.
    except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise kind.error(f"{path}: {name} is damaged: {error}") from error


def _top(archive: zipfile.ZipFile, record: str) -> str:
    """Return the folder in which a zip of a folder has its files, with a slash; often empty."""
    names = (name for name in archive.namelist() if name.split("/")[-1] == record)
    return min(names, key=len, default=record)[: -len(record)]
