"""The recordings that a user names by files and folders."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePath

from plainspeech.cli.terminal import stderr
from plainspeech.errors import AudioError, ConfigurationError, PlainspeechError

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

    everything = sorted(path for path in folder.rglob("*") if path.is_file())
    shown = [path for path in everything if not path.name.startswith(".")]
    files = [path for path in shown if path.suffix.lower() in EXTENSIONS]
    _report_skipped(folder, len(everything) - len(shown), set(shown).difference(files))
    if not files:
        extensions = ", ".join(sorted(EXTENSIONS))
        return [AudioError(f"{folder}: is a folder without recordings ({extensions})")]
    return [InputFile(str(path), path.relative_to(folder).with_suffix("")) for path in files]


def _report_skipped(folder: Path, hidden: int, others: Collection[Path]) -> None:
    """Say in one line which files of ``folder`` are not transcribed, and why."""
    reasons = [f"{hidden} hidden"] if hidden else []
    if others:
        extensions = sorted({path.suffix.lower() or "no extension" for path in others})
        listed = ", ".join(extensions[:_LISTED]) + (", ..." if len(extensions) > _LISTED else "")
        reasons.append(f"{len(others)} with the extension of no recording ({listed})")
    if reasons:
        stderr().print(f"{folder}: skipped {' and '.join(reasons)}", markup=False)


def _clash(recording: InputFile, other: str) -> PlainspeechError:
    return ConfigurationError(
        f"{recording.source}: its transcript would replace that of {other}; "
        "use another output folder for it"
    )
