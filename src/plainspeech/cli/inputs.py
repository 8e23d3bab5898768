"""The recordings that a user names by files and folders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePath

from plainspeech.errors import AudioError, ConfigurationError, PlainspeechError

STDIN = "-"


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

    named = sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS)
    files = [path for path in named if path.is_file() and not path.name.startswith(".")]
    if not files:
        extensions = ", ".join(sorted(EXTENSIONS))
        return [AudioError(f"{folder}: is a folder without recordings ({extensions})")]
    return [InputFile(str(path), path.relative_to(folder).with_suffix("")) for path in files]


def _clash(recording: InputFile, other: str) -> PlainspeechError:
    return ConfigurationError(
        f"{recording.source}: its transcript would replace that of {other}; "
        "use another output folder for it"
    )
