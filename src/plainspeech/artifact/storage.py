"""The files of a model bundle or a scorer: a folder of them, or one zip of it.

Errors are of the class that the kind has: `ModelError` for a bundle, say.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from plainspeech.errors import PlainspeechError
from plainspeech.files import check_folder, replacing_folder, write_atomically

_LARGEST_RATIO = 100  # of a file in a zip, unpacked to packed; weights have hardly any
_ENCRYPTED = 1  # flag of a file in a zip
_SMALL = 1 << 20  # bytes, of a file for which that does not matter

Read = Callable[[str, int], bytes]
"""Takes a file's name in the folder and the most bytes to read of it."""


@dataclass(frozen=True)
class Kind:
    """What a folder of files is.

    Attributes:
        name: for messages.
        record: the JSON file that every such folder has, see `plainspeech.artifact.record`.
        error: the class of what is raised where one is at fault.
        version: of the format, which the record states; None where it states none.
    """

    name: str
    record: str
    error: type[PlainspeechError]
    version: int | None = None


@contextmanager
def reading(path: Path, kind: Kind) -> Iterator[Read]:
    """Yield what reads the files of the folder or zip ``path``; nothing is unpacked to disk.

    Raises:
        PlainspeechError: here where ``path`` is neither, and later where it has no such file.
    """
    with ExitStack() as stack:
        if path.is_dir():
            yield lambda name, limit: _read_file(path, kind, name, limit)
        elif not path.exists():
            raise kind.error(f"{path}: no such {kind.name}")
        else:
            try:
                archive = stack.enter_context(zipfile.ZipFile(path))
            # The last two for a directory that asks for a later zip, or has names of no letters.
            except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
                raise kind.error(
                    f"{path}: is no {kind.name}: neither a folder nor a zip ({error})"
                ) from error
            yield lambda name, limit: _read_member(path, kind, archive, name, limit)


def from_memory(origin: Path, kind: Kind, files: Mapping[str, bytes]) -> Read:
    """Return what reads ``files``, by their names, as `reading` does those of a folder.

    Raises:
        PlainspeechError: later, where there is no such file.
    """

    def read(name: str, limit: int) -> bytes:
        if name not in files:
            raise kind.error(f"{origin}: is no {kind.name}: {name} is missing")
        return files[name][:limit]

    return read


def _read_file(folder: Path, kind: Kind, name: str, limit: int) -> bytes:
    try:
        with (folder / name).open("rb") as file:
            return file.read(limit)
    except FileNotFoundError as error:
        raise kind.error(f"{folder}: is no {kind.name}: {name} is missing") from error
    except OSError as error:
        raise kind.error(f"{folder / name}: cannot be read: {error.strerror}") from error


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
        raise kind.error(f"{path}: is no {kind.name}: {name} is missing") from error
    # What zipfile raises for damaged, encrypted and exotically compressed members.
    except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise kind.error(f"{path}: {name} is damaged: {error}") from error


def _top(archive: zipfile.ZipFile, record: str) -> str:
    """Return the folder in which a zip of a folder has its files, with a slash; often empty."""
    names = (name for name in archive.namelist() if name.split("/")[-1] == record)
    return min(names, key=len, default=record)[: -len(record)]


def write_folder(folder: Path, files: Mapping[str, bytes], kind: Kind) -> None:
    """Write ``files`` as ``folder``, whole or not at all; one of its kind is replaced.

    Raises:
        PlainspeechError: ``folder`` is something of another kind, or cannot be written.
    """
    with _errors_of(folder, kind), replacing_folder(folder.resolve()) as fresh:
        for file, content in files.items():
            write_atomically(fresh / file, content)


def check_writable(folder: Path, kind: Kind) -> None:
    """Find out, before work that takes long, whether `write_folder` will have a place to write.

    Raises:
        PlainspeechError: ``folder`` is something of another kind, or cannot be written.
    """
    with _errors_of(folder, kind):
        check_folder(folder.resolve())


@contextmanager
def _errors_of(folder: Path, kind: Kind) -> Iterator[None]:
    """Raise errors of ``kind`` where ``folder`` cannot be replaced."""
    if not _replaceable(folder, kind.record):
        raise kind.error(f"{folder}: exists and is no {kind.name}; choose another folder")
    try:
        yield
    except OSError as error:
        raise kind.error(f"{folder}: cannot be written: {error.strerror}") from error


def _replaceable(folder: Path, record: str) -> bool:
    if not folder.exists():
        return True
    return folder.is_dir() and ((folder / record).is_file() or not any(folder.iterdir()))
