"""Model bundles and scorers on disk: a folder of files, or one zip of it, and the record of them.

The record is JSON that carries its own SHA-256 and those of the files beside it. It is checked key
by key, and the files that it lists are checked when they are read; of those in a folder each
version once (`plainspeech.verified_files`). Errors are of the class of the kind: `ModelError` for a
bundle, for example.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from plainspeech.errors import PlainspeechError
from plainspeech.files import check_folder, replacing_folder, write_atomically
from plainspeech.verified_files import is_verified, remember_verified, same_version

_HALF_PAIR = re.compile("[\ud800-\udfff]")
_LARGEST_RATIO = 100  # of a file in a zip, unpacked to packed; weights have hardly any
_ENCRYPTED = 1  # flag of a file in a zip
_SMALL = 1 << 20  # bytes, of a file for which that does not matter

Read = Callable[[str, int], bytes]
"""Takes a file's name in the folder and the most bytes to read of it."""


LARGEST_RECORD = 1 << 20
"""Bytes."""

LARGEST_ARTIFACT = 1 << 31
"""Bytes of all files that a record lists: what an ONNX file can hold."""

_BLOCK = 1 << 20  # bytes
_DIGEST = "sha256"
_LONGEST_NAME = 200  # characters
_SHOWN = 20  # characters of a format version that is not known
# Listed files lie beside the record: no "..", no absolute path.
_SAFE_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Kind:
    """A kind of artifact: a model bundle or a scorer.

    Attributes:
        name: for messages.
        record: the JSON file that every such folder has, see `plainspeech.artifact`.
        error: the class of the errors about it.
        version: of the format, which the record states; None where it states none.
    """

    name: str
    record: str
    error: type[PlainspeechError]
    version: int | None = None


@contextmanager
def reading(path: Path, kind: Kind) -> Iterator[Read]:
    """Yield a function that reads files of the folder or zip ``path``; nothing is unpacked to disk.

    Raises:
        PlainspeechError: here where ``path`` is neither, and later where it has no such file.
    """
    with ExitStack() as stack:
        if path.is_dir():
            yield _FolderReader(path, kind)
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
    return _MappingReader(origin, kind, files)


class _MappingReader:
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


class _FolderReader:
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

    @contextmanager
    def _opened(self, name: str) -> Iterator[BinaryIO]:
        try:
            with (self._folder / name).open("rb") as file:
                yield file
        except FileNotFoundError as error:
            raise self._kind.error(
                f"{self._folder}: is not a {self._kind.name}: {name} is missing"
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


def write_folder(folder: Path, files: Mapping[str, bytes], kind: Kind) -> None:
    """Write ``files`` as ``folder``, whole or not at all; one of its kind is replaced.

    Raises:
        PlainspeechError: ``folder`` exists and is of another kind, or cannot be written.
    """
    with _errors_of(folder, kind), replacing_folder(folder.resolve()) as fresh:
        for file, content in files.items():
            write_atomically(fresh / file, content)


def check_folder_writable(folder: Path, kind: Kind) -> None:
    """Check, before long computations, that `write_folder` can write ``folder``.

    Raises:
        PlainspeechError: ``folder`` exists and is of another kind, or cannot be written.
    """
    with _errors_of(folder, kind):
        check_folder(folder.resolve())


@contextmanager
def _errors_of(folder: Path, kind: Kind) -> Iterator[None]:
    """Raise errors of ``kind`` where ``folder`` cannot be replaced."""
    if not _replaceable(folder, kind.record):
        raise kind.error(f"{folder}: exists and is not a {kind.name}; choose another folder")
    try:
        yield
    except OSError as error:
        raise kind.error(f"{folder}: cannot be written: {error.strerror}") from error


def _replaceable(folder: Path, record: str) -> bool:
    if not folder.exists():
        return True
    return folder.is_dir() and ((folder / record).is_file() or not any(folder.iterdir()))


@dataclass(frozen=True)
class Record:
    """The JSON record of an artifact, or an object within it.

    Attributes:
        origin: the folder or zip that it is of.
        kind: of artifact.
        values: of the object.
        within: its path in the record, for messages.
    """

    origin: Path
    kind: Kind
    values: Mapping[str, Any]
    within: str = ""

    @classmethod
    def parse(cls, origin: Path, kind: Kind, content: bytes) -> Record:
        """Parse ``content``.

        Raises:
            PlainspeechError: it is not a JSON object, or larger than `LARGEST_RECORD`.
        """
        try:
            if len(content) > LARGEST_RECORD:
                raise ValueError(f"larger than {LARGEST_RECORD} bytes")
            values = json.loads(content, parse_constant=_refuse, parse_float=_finite)
            if not isinstance(values, dict):
                raise ValueError("not a JSON object")
            json.dumps(values, ensure_ascii=False).encode()  # fails for half of a surrogate pair
        except (ValueError, RecursionError) as error:
            raise kind.error(f"{origin}: {kind.record} is damaged: {error}") from error
        return cls(origin, kind, values)

    @property
    def where(self) -> str:
        """Its name in messages."""
        return f"{self.origin}: {self.kind.record}{self.within}"

    def error(self, what: str) -> PlainspeechError:
        """Return an error of the kind's class that names the record."""
        return self.kind.error(f"{self.where}{what}")

    def serialise(self) -> bytes:
        """Return the record with its digest, as it is written to a file.

        Halves of surrogate pairs, as names of files that are not UTF-8 have them, are escaped.
        """
        text = json.dumps({**self.values}, ensure_ascii=False, allow_nan=False)
        values = json.loads(_HALF_PAIR.sub(lambda half: rf"\\u{ord(half[0]):x}", text))
        values[_DIGEST] = Record(self.origin, self.kind, values)._digest()
        text = json.dumps(values, ensure_ascii=False, allow_nan=False, indent=2)
        return f"{text}\n".encode()

    def check_digest(self) -> None:
        """Raise an error where the record is not the one that was written."""
        if self.take(_DIGEST, str) != self._digest():
            raise self.error(" is damaged or edited: its SHA-256 does not match")

    def take(self, key: str, kind: type[_T]) -> _T:
        """Return the value of ``key``, which must be a ``kind``."""
        value = self.values.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(f": {key!r} is missing or not of type {kind.__name__}")
        return value

    def number(self, key: str) -> float:
        """Return the value of ``key``, which must be a finite number."""
        value = self.values.get(key)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise self.error(f": {key!r} is missing or not a number")
        # An integer may be beyond what a float holds.
        if not abs(value) < sys.float_info.max:
            raise self.error(f": {key!r} is {str(value)[:20]}, which is not finite")
        return float(value)

    def part(self, key: str) -> Record:
        """Return the object that is the value of ``key``."""
        return Record(self.origin, self.kind, self.take(key, dict), f"{self.within}: {key}")

    @contextmanager
    def named(self) -> Iterator[None]:
        """Put the record's name before the message of an error in the block."""
        try:
            yield
        except PlainspeechError as error:
            raise self.error(f": {error}") from error

    def _digest(self) -> str:
        """SHA-256 of everything but the digest, however it is spaced and ordered."""
        values = {key: value for key, value in self.values.items() if key != _DIGEST}
        canonical = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


def read_record(read: Read, origin: Path, kind: Kind) -> Record:
    """Return the record of the folder or zip ``origin``, whose files ``read`` reads.

    Raises:
        PlainspeechError: it has another format version, or differs from what was written.
    """
    record = Record.parse(origin, kind, read(kind.record, LARGEST_RECORD + 1))
    if kind.version is not None:
        check_version(record.take("format", int), kind.version, record.where, kind.error)
    record.check_digest()
    return record


def digest_of(path: Path, kind: Kind) -> str:
    """Return the SHA-256 in the record of ``path``, a folder or zip: other files, another digest.

    Raises:
        PlainspeechError: ``path`` is none of ``kind``, or its record is damaged.
    """
    with reading(path, kind) as read:
        return read_record(read, path, kind).take(_DIGEST, str)


def check_version(found: object, known: int, where: str, error: type[PlainspeechError]) -> None:
    """Raise ``error``, naming ``where``, unless the format version ``found`` is the ``known``."""
    if found != known:
        raise error(
            f"{where}: has the format {str(found)[:_SHOWN]}, this plainspeech reads {known}; use "
            f"the plainspeech that it was made with"
        )


def checksums(files: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the value of a record's ``files``: size and SHA-256 of each."""
    return {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items()
    }


def checksum(path: Path, kind: Kind) -> dict[str, Any]:
    """Return size and SHA-256 of the file ``path``, which may be larger than memory.

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
        raise kind.error(f"{path}: cannot be read: {error.strerror}") from error
    return {"bytes": size, "sha256": digest.hexdigest()}


def has_checksum(path: Path, listed: Record) -> bool:
    """Return whether the file ``path`` has the size and SHA-256 that ``listed`` has.

    It is read only where this version of it was not verified before.

    Raises:
        PlainspeechError: it cannot be read, or ``listed`` has no such values.
    """
    size, sha256 = listed.take("bytes", int), listed.take("sha256", str)
    try:
        status = path.stat()
    except OSError as error:
        raise listed.kind.error(f"{path}: cannot be read: {error.strerror}") from error
    if status.st_size == size and is_verified(path, status, sha256):
        return True
    if checksum(path, listed.kind) != {"bytes": size, "sha256": sha256}:
        return False
    remember_verified(path, status, sha256)
    return True


def read_listed(read: Read, record: Record) -> dict[str, bytes]:
    """Return the files that ``record`` lists, each as it was written.

    Raises:
        PlainspeechError: one is missing, or is not the one that was written,
            or all together are larger than `LARGEST_ARTIFACT`.
    """
    listed = _listed(record)
    return {name: _read_checked(read, name, *listed[name], record) for name in listed}


class NamedFiles(Mapping[str, bytes]):
    """Files by their names, each read when it is asked for; how is the subclass's.

    Args:
        listed: by the names, whatever it takes to read them.
    """

    def __init__(self, listed: Mapping[str, Any]) -> None:
        self._listed = listed

    def __contains__(self, name: object) -> bool:
        return name in self._listed

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)


class ListedFiles(NamedFiles):
    """The files that a record lists, each as it was written; it is read when it is asked for.

    Args:
        read: of the folder or zip.
        record: lists them.

    Raises:
        PlainspeechError: when a file is asked for, as `read_listed`.
    """

    def __init__(self, read: Read, record: Record) -> None:
        super().__init__(_listed(record))
        self._read = read
        self._record = record

    def __getitem__(self, name: str) -> bytes:
        size, digest = self._listed[name]
        return _read_checked(self._read, name, size, digest, self._record)


def check_listed(read: Read, record: Record) -> None:
    """Check the files that ``record`` lists, and read only those that were not verified before.

    Raises:
        PlainspeechError: as `read_listed`.
    """
    for name, (size, sha256) in _listed(record).items():
        verifying = read if isinstance(read, (_FolderReader, _MappingReader)) else None
        if not (verifying and verifying.is_verified(name, size, sha256)):
            _read_checked(read, name, size, sha256, record)


def _listed(record: Record) -> dict[str, tuple[int, str]]:
    """Return size and SHA-256 of the files that ``record`` lists."""
    listed = record.part("files")
    files: dict[str, tuple[int, str]] = {}
    room = LARGEST_ARTIFACT
    for name in listed.values:
        if not _SAFE_NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
            raise listed.error(
                f": {name[:40]!r} is not allowed as the name of a file of a {record.kind.name}"
            )
        part = listed.part(name)
        size, sha256 = part.take("bytes", int), part.take("sha256", str)
        if not 0 <= size <= room:
            raise part.error(
                f": {str(size)[:20]} bytes are more than a {record.kind.name} may have"
            )
        files[name] = size, sha256
        room -= size
    return files


def _read_checked(read: Read, name: str, size: int, sha256: str, record: Record) -> bytes:
    content: bytes | None
    if isinstance(read, _FolderReader):
        content = read.checked(name, size, sha256)
    else:
        content = read(name, size + 1)
        if len(content) != size or hashlib.sha256(content).hexdigest() != sha256:
            content = None
    if content is None:
        raise record.kind.error(
            f"{record.origin}: {name} is damaged: its size or SHA-256 differs from that in "
            f"{record.kind.record}"
        )
    return content


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is beyond what a number can be")
    return value
