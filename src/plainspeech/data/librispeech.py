"""LibriSpeech's tree: ``subset/speaker/chapter/speaker-chapter-utt.EXT`` and its transcripts."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from plainspeech.audio import EXTENSIONS
from plainspeech.data.manifest import Utterance

TRANSCRIPTS = ".trans.txt"


def scan(folder: Path) -> tuple[list[Utterance], list[str]]:
    """Find the utterances of a LibriSpeech tree, a subset of it, or several subsets.

    Args:
        folder: at or above the chapters; links to folders are followed.

    Returns:
        The utterances, ordered by path, with their transcripts as they stand and no duration;
        and a line for everything that is not one recording with one transcript.
    """
    utterances: list[Utterance] = []
    problems: list[str] = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        found, faults = _scan_chapter(Path(parent), [n for n in names if not n.startswith(".")])
        utterances += found
        problems += faults
    return utterances, problems


def _scan_chapter(folder: Path, names: list[str]) -> tuple[list[Utterance], list[str]]:
    """Match the recordings directly in ``folder`` with the lines of its transcripts."""
    recordings: dict[str, list[Path]] = defaultdict(list)
    for name in sorted(names):
        if os.path.splitext(name)[1].lower() in EXTENSIONS:  # noqa: PTH122  (hot: no Path)
            recordings[Path(name).stem].append(folder / name)
    utterances: list[Utterance] = []
    problems: list[str] = []
    for name in sorted(name for name in names if name.endswith(TRANSCRIPTS)):
        for where, identity, text in _read_transcripts(folder / name, problems):
            audio = recordings.pop(identity, [])
            if len(audio) != 1 or not text:
                problems.append(f"{where}: {identity}: {_fault(audio, text)}")
            else:
                speaker = identity.split("-")[0]
                utterances.append(Utterance(identity, audio[0], text, 0.0, speaker, where))
    without = (path for paths in recordings.values() for path in paths)
    problems += [
        f"{path}: no line of a *{TRANSCRIPTS} beside it has its transcript" for path in without
    ]
    return utterances, problems


def _fault(audio: list[Path], text: str) -> str:
    if len(audio) > 1:
        return f"which recording is meant? {', '.join(path.name for path in audio)}"
    return "the transcript is empty" if audio and not text else "there is no recording"


def _read_transcripts(path: Path, problems: list[str]) -> Iterator[tuple[str, str, str]]:
    """Yield (where, utterance id, transcript) of each line; an unreadable file is a problem."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{path}: cannot read the transcripts: {error}")
        return
    for number, line in enumerate(lines, start=1):
        identity, _, text = line.strip().partition(" ")
        if identity:
            yield f"{path}, line {number}", identity, text.strip()
