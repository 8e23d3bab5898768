"""Files and folders that verbs write."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plainspeech.errors import ConfigurationError


def check_writable(path: Path) -> None:
    """Check, before long computations, that a file can be written as ``path``.

    Raises:
        ConfigurationError: it cannot.
    """
    from plainspeech.files import check_file

    with _named(path):
        check_file(path)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` in UTF-8, whole or not at all.

    Raises:
        ConfigurationError: it cannot be written.
    """
    from plainspeech.files import write_atomically

    with _named(path):
        write_atomically(path, text.encode())


def make_folder(folder: Path) -> None:
    """Make a folder if it is not there, and check that files can be written in it.

    Raises:
        ConfigurationError: they cannot.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder}: is a file; --output must be a folder")
    with _named(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name ``path`` in the message of an error in the block."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from error
