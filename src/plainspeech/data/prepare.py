"""From recordings with transcripts, in folders or named by a manifest, to utterances."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from plainspeech import audio
from plainspeech.alphabet import ENGLISH, Alphabet
from plainspeech.audio import EXTENSIONS
from plainspeech.data.manifest import Track, Utterance, read_manifest, untracked
from plainspeech.errors import DataError, PlainspeechError, why_unreadable
from plainspeech.files import folders_below, shown
from plainspeech.foreign_characters import ForeignCharacters

_THREADS = 4  # that read recordings


def prepare_utterances(
    sources: Iterable[Path],
    alphabet: Alphabet = ENGLISH,
    foreign: ForeignCharacters | None = None,
    decode: bool = False,
    track: Track = untracked,
) -> tuple[list[Utterance], list[str]]:
    """Find utterances, measure their durations and normalise their transcripts.

    Durations are those of the headers, unless the recordings are decoded, which also finds those
    that are damaged; `plainspeech.data.check` decodes them, too.

    Args:
        sources: folders that `scan` reads, or manifests, which need no durations.
        alphabet: that the transcripts are normalised to.
        foreign: counts the transcripts of which it loses something.
        decode: whether to read all of each recording.
        track: shows progress.

    Returns:
        The valid utterances in order, and a message for each of the others.

    Raises:
        DataError: a source is missing, or no utterance was found in it.
    """
    found: list[Utterance] = []
    problems: list[str] = []
    for source in sources:
        utterances, faults = _find(source)
        found += utterances
        problems += faults
    with ThreadPoolExecutor(_THREADS) as pool:
        outcomes = pool.map(lambda utterance: _complete(utterance, alphabet, decode), found)
        results = list(track(outcomes, len(found)))
    if foreign:
        for utterance, result in zip(found, results, strict=True):
            if isinstance(result, Utterance):
                foreign.add(utterance.text)
    problems += [result for result in results if isinstance(result, str)]
    return _unique([result for result in results if isinstance(result, Utterance)], problems)


def _find(source: Path) -> tuple[list[Utterance], list[str]]:
    if source.is_file():
        return read_manifest(source, durations=False), []
    if not source.is_dir():
        raise DataError(f"{source}: no such folder or manifest")
    utterances, problems = scan(source)
    if not utterances and not problems:
        raise DataError(
            f"{source}: no recording with its text in or below it: name.wav with name.txt, or "
            f"LibriSpeech's tree with *.trans.txt"
        )
    return utterances, problems


def _unique(utterances: list[Utterance], problems: list[str]) -> tuple[list[Utterance], list[str]]:
    first: dict[str, Utterance] = {}
    problems += [
        f"{utterance.origin}: {utterance.id}: the id is taken by {first[utterance.id].origin}"
        for utterance in utterances
        if first.setdefault(utterance.id, utterance) is not utterance
    ]
    return list(first.values()), problems


def _complete(utterance: Utterance, alphabet: Alphabet, decode: bool) -> Utterance | str:
    """Return ``utterance`` with duration and normalised text, or what is wrong with it."""
    lost = alphabet.lost(utterance.text)
    if lost:
        return f"{utterance.origin}: {utterance.id}: {_refusal(lost)}"
    try:
        if decode:
            duration = len(audio.read(utterance.audio)) / audio.SAMPLE_RATE
        else:
            duration = audio.duration(utterance.audio)
    except PlainspeechError as error:
        return f"{utterance.origin}: {utterance.id}: {error}"
    return replace(utterance, text=alphabet.normalise(utterance.text), duration=duration)


def _refusal(lost: str) -> str:
    """Return what is wrong with a transcript of which the alphabet cannot write ``lost``."""
    what = f"the transcript has {lost!r}, which the alphabet does not"
    if any(character.isdigit() for character in lost):
        return f"{what}: spell it out as it was said, 1990 as nineteen ninety"
    return f"{what}: spell it out, or name the language or letters (--alphabet)"


TRANSCRIPTS = ".trans.txt"


def scan(folder: Path) -> tuple[list[Utterance], list[str]]:
    """Find the utterances of a tree of LibriSpeech's layout, or of recordings with a text each.

    The text of ``name.wav`` is the line of ``name`` in a ``*.trans.txt`` beside it, or all of
    ``name.txt``; in the latter case, its id is its path from ``folder`` on.

    Args:
        folder: at or above the recordings; links to folders are followed, to each folder once.

    Returns:
        The utterances, ordered by path, with their original transcripts and no duration;
        and a line for everything that is not one recording with one transcript.
    """
    utterances: list[Utterance] = []
    problems: list[str] = []
    for parent, names in folders_below(folder, problems):
        there = [name for name in names if not name.startswith(".")]
        found, faults = _scan_chapter(parent, there, folder)
        utterances += found
        problems += faults
    return utterances, problems


def _scan_chapter(folder: Path, names: list[str], top: Path) -> tuple[list[Utterance], list[str]]:
    """Match the recordings directly in ``folder``, in or below ``top``, with their transcripts."""
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
    for stem in [stem for stem in recordings if f"{stem}.txt" in names]:
        one = _with_own_text(folder / f"{stem}.txt", recordings.pop(stem), top)
        if isinstance(one, Utterance):
            utterances.append(one)
        else:
            problems.append(one)
    without = (path for paths in recordings.values() for path in paths)
    problems += [
        f"{path}: neither {path.stem}.txt nor a line of a *{TRANSCRIPTS} beside it has its "
        f"transcript"
        for path in without
    ]
    return utterances, problems


def _with_own_text(file: Path, recordings: list[Path], top: Path) -> Utterance | str:
    """Return the one recording whose whole transcript is ``file``, or what is wrong."""
    try:
        text = " ".join(file.read_text(encoding="utf-8-sig").split())
    except (OSError, UnicodeDecodeError) as error:
        return f"{file}: cannot read the transcript: {why_unreadable(error)}"
    if len(recordings) != 1 or not text:
        return f"{file}: {_fault(recordings, text)}"
    identity = shown(file.relative_to(top).with_suffix("").as_posix())
    return Utterance(identity, recordings[0], text, 0.0, "", str(file))


def _fault(audio: list[Path], text: str) -> str:
    if len(audio) > 1:
        return f"several recordings have this id: {', '.join(path.name for path in audio)}"
    return "the transcript is empty" if audio and not text else "there is no recording"


def _read_transcripts(path: Path, problems: list[str]) -> Iterator[tuple[str, str, str]]:
    """Yield (where, utterance id, transcript) of each line; an unreadable file is a problem."""
    try:
        # Not str.splitlines: a transcript may hold what that takes for the end of a line.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{path}: cannot read the transcripts: {why_unreadable(error)}")
        return
    for number, line in enumerate(lines, start=1):
        identity, _, text = line.strip().partition(" ")
        if identity:
            yield f"{path}, line {number}", identity, text.strip()
