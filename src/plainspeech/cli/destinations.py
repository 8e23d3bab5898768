"""Where transcripts go: lines or a document on standard output, or files in a folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import typer

from plainspeech.cli.recordings import STDIN, Recording
from plainspeech.errors import PlainspeechError

if TYPE_CHECKING:
    from plainspeech.runtime.long_audio import Heard


class Destination(Protocol):
    """Takes the transcripts of recordings, one after another."""

    def has(self, recording: Recording) -> bool:
        """Return whether the transcript of ``recording`` is there from an earlier run."""

    def write(self, recording: Recording, stretches: Iterable[Heard]) -> str:
        """Write what is heard in ``recording``; several threads may, one recording each.

        Returns:
            What is to be printed when the recordings before have been; empty for nothing.

        Raises:
            PlainspeechError: it cannot be written, or what ``stretches`` raises.
        """


class Line:
    """The text of the only recording, on one line, as it is heard."""

    def has(self, recording: Recording) -> bool:
        """Return False."""
        return False

    def write(self, recording: Recording, stretches: Iterable[Heard]) -> str:
        """Print one segment after another; a line that an error breaks off is ended."""
        begun = False
        try:
            for stretch in stretches:
                for segment in stretch.segments:
                    typer.echo(f" {segment.text}" if begun else segment.text, nl=False)
                    begun = True
        except PlainspeechError:
            if begun:
                typer.echo()
            raise
        return "\n"


class NamedLines:
    """Each recording's name and text on a line of its own."""

    def has(self, recording: Recording) -> bool:
        """Return False."""
        return False

    def write(self, recording: Recording, stretches: Iterable[Heard]) -> str:
        """Return the line when the recording has come to its end."""
        from plainspeech.runtime.long_audio import whole

        text = whole(stretches).text
        return f"{typer.format_filename(recording.source)}: {text}\n"


class Document:
    """The only recording, as a file of ``format`` holds it."""

    def __init__(self, format: str) -> None:  # noqa: A002  # as users call it
        self._format = format

    def has(self, recording: Recording) -> bool:
        """Return False."""
        return False

    def write(self, recording: Recording, stretches: Iterable[Heard]) -> str:
        """Return the document."""
        from plainspeech.runtime.long_audio import whole
        from plainspeech.writers import render

        return render(whole(stretches), self._format)


class Folder:
    """Files in a folder, which is made where there is none.

    Args:
        folder: mirrors the one that the recordings are in.
        formats: of `plainspeech.writers`.

    Raises:
        PlainspeechError: nothing can be written there.
    """

    def __init__(self, folder: Path, formats: Sequence[str]) -> None:
        self._folder, self._formats = folder, formats
        if folder.exists() and not folder.is_dir():
            raise PlainspeechError(f"{folder}: is a file; --output must be a folder")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()  # hours later would be late to learn it
        except OSError as error:
            raise PlainspeechError(f"{folder}: cannot be written to: {error.strerror}") from error

    def has(self, recording: Recording) -> bool:
        """Return whether all files are there and none is older than the recording."""
        if recording.source == STDIN:
            return False
        files = [self._file(recording, format) for format in self._formats]  # noqa: A001
        try:
            written = min(file.stat().st_mtime_ns for file in files)
            return written >= Path(recording.source).stat().st_mtime_ns
        except OSError:
            return False

    def write(self, recording: Recording, stretches: Iterable[Heard]) -> str:
        """Write the files, each whole or not at all."""
        from plainspeech.files import write_atomically
        from plainspeech.runtime.long_audio import whole
        from plainspeech.writers import render

        transcript = whole(stretches)
        for format in self._formats:  # noqa: A001
            file = self._file(recording, format)
            try:
                write_atomically(file, render(transcript, format).encode())
            except OSError as error:
                raise PlainspeechError(f"{file}: cannot be written: {error.strerror}") from error
        return ""

    def _file(self, recording: Recording, format: str) -> Path:  # noqa: A002
        target = self._folder / recording.target
        return target.with_name(f"{target.name}.{format}")
