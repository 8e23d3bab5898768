"""Which recordings a user means by files and folders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePath

from plainspeech.errors import PlainspeechError

STDIN = "-"


@dataclass(frozen=True)
class Recording:
    """One recording.

    Attributes:
        source: its path, or `STDIN`.
        target: of its transcripts, relative to the folder that they go to, without extension.
    """

    source: str
    target: PurePath


def find_recordings(
    files: Iterable[str], one_target_each: bool
) -> Iterator[Recording | PlainspeechError]:
    """Yield what ``files`` are: themselves, or all recordings in a folder and below, sorted.

    Whether a named file is a recording shows when it is read. What is wrong is yielded too: a
    folder without recordings, or, where each must have a target of its own, one that has not.
    """
    first: dict[PurePath, str] = {}
    for found in chain.from_iterable(map(_found, files)):
        if isinstance(found, PlainspeechError) or not one_target_each:
            yield found
        else:
            other = first.setdefault(found.target, found.source)
            yield found if other == found.source else _clash(found, other)


def _found(file: str) -> Sequence[Recording | PlainspeechError]:
    if file == STDIN:
        return [Recording(file, PurePath("stdin"))]
    path = Path(file)
    if not path.is_dir():
        return [Recording(file, PurePath(path.stem))]
    return _in_folder(path)


def _in_folder(folder: Path) -> Sequence[Recording | PlainspeechError]:
    from plainspeech.audio import EXTENSIONS

    named = sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS)
    files = [path for path in named if path.is_file() and not path.name.startswith(".")]
    if not files:
        extensions = ", ".join(sorted(EXTENSIONS))
        return [PlainspeechError(f"{folder}: is a folder without recordings ({extensions})")]
    return [Recording(str(path), path.relative_to(folder).with_suffix("")) for path in files]


def _clash(recording: Recording, other: str) -> PlainspeechError:
    return PlainspeechError(
        f"{recording.source}: its transcript would replace that of {other}; "
        "transcribe it to another folder"
    )
