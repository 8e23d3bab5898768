"""Writes a folder, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from plainspeech.artifact.kind import Kind
from plainspeech.files import check_folder, replacing_folder, write_atomically


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
        here = Path.cwd()
        if folder.resolve() in (here, *here.parents):
            # Whoever is in it would stay in what was replaced, which is gone.
            raise kind.error(
                f"{folder}: would be replaced, and is the working directory or has it within; name "
                f"a new folder, or run the command outside of it"
            )
        yield
    except OSError as error:
        raise kind.error(f"{folder}: cannot be written: {error.strerror}") from error


def _replaceable(folder: Path, record: str) -> bool:
    if not folder.exists():
        return True
    return folder.is_dir() and ((folder / record).is_file() or not any(folder.iterdir()))
