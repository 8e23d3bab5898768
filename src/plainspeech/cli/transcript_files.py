"""The recordings that a user names, and where the transcript of each is written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Protocol

import typer

from plainspeech.cli.output_files import make_folder, write_text
from plainspeech.cli.terminal import stderr
from plainspeech.errors import AudioError, ConfigurationError, PlainspeechError

if TYPE_CHECKING:
    from plainspeech.runtime.long_audio import TranscriptPart

STDIN = "-"
_LISTED = 8  # extensions, in a message


@dataclass(frozen=True)
class InputFile:
    """One recording to transcribe.

    Attributes:
        source: its path, or `STDIN`.
        target: path of its transcripts in the output folder, without extension.
    """

    source: str
    target: PurePath


def find_inputs(
    files: Iterable[str], one_target_each: bool
) -> Iterator[InputFile | PlainspeechError]:
    """Yield ``files``, and in place of a folder all recordings in it and below, sorted.

    Files that are named are not opened yet. Errors are yielded too, in their place: a folder
    without recordings, or a target that is not unique where it must be.
    """
    first: dict[PurePath, str] = {}
    for found in chain.from_iterable(map(_found, files)):
        if isinstance(found, PlainspeechError) or not one_target_each:
            yield found
        else:
            other = first.setdefault(found.target, found.source)
            yield found if other == found.source else _clash(found, other)


def _found(file: str) -> Sequence[InputFile | PlainspeechError]:
    if file == STDIN:
        return [InputFile(file, PurePath("stdin"))]
    path = Path(file)
    if not path.is_dir():
        return [InputFile(file, PurePath(path.stem))]
    return _in_folder(path)


def _in_folder(folder: Path) -> Sequence[InputFile | PlainspeechError]:
    from plainspeech.audio import EXTENSIONS
    from plainspeech.files import files_below

    everything, problems = files_below(folder)
    shown = [path for path in everything if not path.name.startswith(".")]
    files = [path for path in shown if path.suffix.lower() in EXTENSIONS]
    _report_skipped(folder, len(everything) - len(shown), set(shown).difference(files))
    errors: list[PlainspeechError] = [AudioError(problem) for problem in problems]
    if not files:
        extensions = ", ".join(sorted(EXTENSIONS))
        errors.append(AudioError(f"{folder}: is a folder without recordings ({extensions})"))
    targets = (path.relative_to(folder).with_suffix("") for path in files)
    return [*errors, *map(InputFile, map(str, files), targets)]


def _report_skipped(folder: Path, hidden: int, others: Collection[Path]) -> None:
    """Say in one line which files of ``folder`` are not transcribed, and why."""
    reasons = [f"{hidden} hidden"] if hidden else []
    if others:
        extensions = sorted({path.suffix.lower() or "no extension" for path in others})
        listed = ", ".join(extensions[:_LISTED]) + (", ..." if len(extensions) > _LISTED else "")
        reasons.append(f"{len(others)} without the extension of a recording ({listed})")
    if reasons:
        stderr().print(f"{folder}: skipped {' and '.join(reasons)}")


def _clash(recording: InputFile, other: str) -> PlainspeechError:
    return ConfigurationError(
        f"{recording.source}: its transcript would replace that of {other}; "
        "use another output folder for it"
    )


class Destination(Protocol):
    """Writes the transcripts of recordings."""

    def has(self, recording: InputFile) -> bool:
        """Return whether an earlier run has written the transcript of ``recording``."""

    def write(self, recording: InputFile, parts: Iterable[TranscriptPart]) -> str:
        """Write the transcript of ``recording``; several threads may, one recording each.

        Returns:
            The text to print after that of the recordings before; may be empty.

        Raises:
            ConfigurationError: it cannot be written.
            PlainspeechError: any error of ``parts``.
        """


class Line:
    """The text of the only recording, as it is recognised.

    On one line, or on a line a segment where channels are transcribed separately.
    """

    def has(self, recording: InputFile) -> bool:
        """Return False."""
        return False

    def write(self, recording: InputFile, parts: Iterable[TranscriptPart]) -> str:
        """Print one segment after another; after an error the line is ended."""
        begun = False
        try:
            for part in parts:
                for segment in part.segments:
                    parted = "\n" if segment.label else " "
                    text = f"{segment.label}{segment.text}"
                    typer.echo(f"{parted}{text}" if begun else text, nl=False)
                    begun = True
        except PlainspeechError:
            if begun:
                typer.echo()
            raise
        return "\n"


class NamedLines:
    """A line per recording: its name and its text."""

    def has(self, recording: InputFile) -> bool:
        """Return False."""
        return False

    def write(self, recording: InputFile, parts: Iterable[TranscriptPart]) -> str:
        """Return the line."""
        from plainspeech.runtime.long_audio import join_parts

        segments = join_parts(parts).segments
        text = " ".join(f"{segment.label}{segment.text}" for segment in segments)
        return f"{typer.format_filename(recording.source)}: {text}\n"


class Document:
    """The only recording, as the content of a file of ``format``."""

    def __init__(self, format: str) -> None:  # noqa: A002  # as users call it
        self._format = format

    def has(self, recording: InputFile) -> bool:
        """Return False."""
        return False

    def write(self, recording: InputFile, parts: Iterable[TranscriptPart]) -> str:
        """Return the document."""
        from plainspeech.runtime.long_audio import join_parts
        from plainspeech.writers import render

        return render(join_parts(parts), self._format)


class Folder:
    """Files in a folder, which is created if it does not exist.

    Args:
        folder: mirrors the folders of the recordings.
        formats: of `plainspeech.writers`.

    Raises:
        ConfigurationError: files cannot be written in it.
    """

    def __init__(self, folder: Path, formats: Sequence[str]) -> None:
        self._folder, self._formats = folder, formats
        make_folder(folder)  # fail now rather than after hours of work

    def has(self, recording: InputFile) -> bool:
        """Return whether all files exist and none is older than the recording."""
        if recording.source == STDIN:
            return False
        files = [self._file(recording, format) for format in self._formats]  # noqa: A001
        try:
            written = min(file.stat().st_mtime_ns for file in files)
            return written >= Path(recording.source).stat().st_mtime_ns
        except OSError:
            return False

    def write(self, recording: InputFile, parts: Iterable[TranscriptPart]) -> str:
        """Write the files, each whole or not at all."""
        from plainspeech.runtime.long_audio import join_parts
        from plainspeech.writers import render

        transcript = join_parts(parts)
        for format in self._formats:  # noqa: A001
            write_text(self._file(recording, format), render(transcript, format))
        return ""

    def _file(self, recording: InputFile, format: str) -> Path:  # noqa: A002
        target = self._folder / recording.target
        return target.with_name(f"{target.name}.{format}")
