"""What recordings are read from: paths, binary files, and pipes, which are copied first."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import IO, BinaryIO, cast

from plainspeech.errors import AudioError

Source = str | os.PathLike[str] | BinaryIO

_SPOOL = 16_000_000  # bytes of a pipe that are kept in memory
_URL = re.compile("[A-Za-z][A-Za-z0-9+.-]+://")
_PIECE = 1 << 20  # bytes of a pipe at a time


@contextmanager
def opened_source(source: Source) -> Iterator[tuple[str, BinaryIO]]:
    """Yield the name of ``source`` for messages, and a file that can seek, at its beginning.

    A pipe is copied to a temporary file first, where it is more than fits a little memory.

    Raises:
        AudioError: it is missing, empty, no binary file, or cannot be read.
    """
    if isinstance(source, (str, os.PathLike)):
        name = os.fspath(source)
        file: AbstractContextManager[BinaryIO] = _open(Path(source), name)
    elif hasattr(source, "read"):
        name, file = str(getattr(source, "name", "audio")), nullcontext(source)
    else:
        raise AudioError(
            f"audio: is {type(source).__name__}; a path or a binary file is needed "
            f"(io.BytesIO makes one of bytes)"
        )
    # What the caller's block raises is its own: nothing here is caught around the yield.
    with file as stream, _seekable(name, stream) as seekable:
        _check_content(name, seekable)
        yield name, seekable


def _open(path: Path, name: str) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        if _URL.match(name):
            raise AudioError(f"{name}: is the address of a file; download it first") from error
        raise AudioError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise AudioError(f"{path}: is a folder, not a recording") from error
    except (OSError, ValueError) as error:  # the latter where the path has a null character
        raise AudioError(f"{_shown(path)}: cannot be read: {_reason(error)}") from error


def _seekable(name: str, file: BinaryIO) -> AbstractContextManager[BinaryIO]:
    """Return ``file`` where it can seek, else a temporary copy; the latter closes."""
    try:
        if file.seekable():
            return nullcontext(file)
        return _copied(name, file)
    except (OSError, ValueError) as error:  # the latter where it is closed
        raise AudioError(f"{name}: cannot be read: {_reason(error)}") from error


def _copied(name: str, pipe: BinaryIO) -> BinaryIO:
    with ExitStack() as stack:
        copy = stack.enter_context(tempfile.SpooledTemporaryFile(_SPOOL))
        while block := pipe.read(_PIECE):
            _append(name, copy, block)
        copy.seek(0)
        stack.pop_all()  # whoever gets it closes it
        return cast("BinaryIO", copy)


def _append(name: str, copy: IO[bytes], block: object) -> None:
    try:
        copy.write(_bytes(name, block))
    except OSError as error:
        folder = tempfile.gettempdir()
        raise AudioError(f"{name}: cannot be copied to {folder}: {error.strerror}") from error


def _check_content(name: str, stream: BinaryIO) -> None:
    try:
        first = stream.read(1)
        stream.seek(0)
    except (OSError, ValueError) as error:
        raise AudioError(f"{name}: cannot be read: {_reason(error)}") from error
    if not _bytes(name, first):
        raise AudioError(f"{name}: is empty")


def _bytes(name: str, content: object) -> bytes:
    if not isinstance(content, bytes):
        raise AudioError(f"{name}: is open as text; open it in binary ('rb')")
    return content


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _shown(path: Path) -> str:
    return str(path) if str(path).isprintable() else repr(str(path))
