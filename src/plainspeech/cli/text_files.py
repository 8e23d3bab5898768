"""Files of text that verbs write."""

from __future__ import annotations

from pathlib import Path

from plainspeech.errors import ConfigurationError


def write_text(path: Path, text: str) -> None:
    """Write ``text`` in UTF-8, whole or not at all.

    Raises:
        ConfigurationError: it cannot be written.
    """
    from plainspeech.files import write_atomically

    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from error
