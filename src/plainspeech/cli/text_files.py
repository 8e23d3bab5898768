"""Files that verbs write."""

from __future__ import annotations

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


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name ``path`` in the message of an error in the block."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from error
