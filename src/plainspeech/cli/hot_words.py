"""Hot words as options of commands: ``--hot-word PHRASE:WEIGHT`` and ``--hot-words FILE``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plainspeech.errors import DataError, DecodingError


def read_hot_words(given: Sequence[str], file: Path | None) -> dict[str, float]:
    """Return the weight of each phrase; one that is ``given`` has precedence over the file's.

    Args:
        given: ``phrase`` or ``phrase:weight`` each.
        file: one a line, see `plainspeech.decoding.hot_words.parse_hot_words`.

    Raises:
        DataError: the file cannot be read.
        DecodingError: something is neither a phrase nor ``phrase:weight``.
    """
    from plainspeech.decoding.hot_words import parse_hot_word

    found = {} if file is None else _read(file)
    for text in given:
        try:
            phrase, weight = parse_hot_word(text)
        except DecodingError as error:
            raise DecodingError(f"--hot-word: {error}") from error
        found[phrase] = weight
    return found


def _read(file: Path) -> dict[str, float]:
    from plainspeech.decoding.hot_words import parse_hot_words

    try:
        return parse_hot_words(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{file}: cannot be read: {reason}") from error
    except DecodingError as error:
        raise DecodingError(f"{file}, {error}") from error
