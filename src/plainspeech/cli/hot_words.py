"""Hot words as users write them: ``phrase:weight``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plainspeech.errors import PlainspeechError


def read_hot_words(given: Sequence[str], file: Path | None) -> dict[str, float]:
    """Return the weight of each phrase; one that is ``given`` has precedence over the file's.

    Args:
        given: ``phrase:weight`` each.
        file: one a line; empty lines and those that start with ``#`` are passed over.

    Raises:
        PlainspeechError: the file cannot be read, or something is not ``phrase:weight``.
    """
    listed = [] if file is None else _lines(file)
    return dict([*listed, *(_parse(text, "--hot-word") for text in given)])


def _lines(file: Path) -> list[tuple[str, float]]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PlainspeechError(f"{file}: cannot be read: {error}") from error
    return [
        _parse(line, f"{file}, line {number}")
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.startswith("#")
    ]


def _parse(text: str, where: str) -> tuple[str, float]:
    phrase, _, weight = text.rpartition(":")
    try:
        return phrase.strip(), float(weight)
    except ValueError:
        raise PlainspeechError(
            f"{where}: {text.strip()!r} is not a phrase and its weight, such as 'plain speech:8'"
        ) from None
