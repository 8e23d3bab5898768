"""From recordings with transcripts to utterances with durations."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from plainspeech import audio
from plainspeech.alphabet import ENGLISH, Alphabet
from plainspeech.data.librispeech import scan
from plainspeech.data.manifest import Utterance, read_manifest
from plainspeech.data.tracking import Track, untracked
from plainspeech.errors import PlainspeechError


def prepare(
    sources: Iterable[Path],
    alphabet: Alphabet = ENGLISH,
    threads: int = 4,
    track: Track = untracked,
) -> tuple[list[Utterance], list[str]]:
    """Find utterances, measure their durations and normalise their transcripts.

    Durations are what the headers tell; that the recordings hold as much, `check` finds out by
    decoding them.

    Args:
        sources: folders of LibriSpeech's layout, or JSONL manifests, which need no durations.
        alphabet: that the transcripts are normalised to.
        threads: that read the recordings' headers.
        track: shows progress.

    Returns:
        The sound utterances in order, and a line for each of the others that names it.

    Raises:
        PlainspeechError: a source is missing, or no utterance was found in it.
    """
    found: list[Utterance] = []
    problems: list[str] = []
    for source in sources:
        utterances, faults = _find(source)
        found += utterances
        problems += faults
    with ThreadPoolExecutor(threads) as pool:
        outcomes = pool.map(lambda utterance: _complete(utterance, alphabet), found)
        results = list(track(outcomes, len(found)))
    problems += [result for result in results if isinstance(result, str)]
    return _unique([result for result in results if isinstance(result, Utterance)], problems)


def _find(source: Path) -> tuple[list[Utterance], list[str]]:
    if source.is_file():
        return read_manifest(source, durations=False), []
    if not source.is_dir():
        raise PlainspeechError(f"{source}: no such folder or manifest")
    utterances, problems = scan(source)
    if not utterances and not problems:
        raise PlainspeechError(
            f"{source}: no *.trans.txt in or below it; is it LibriSpeech's tree?"
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


def _complete(utterance: Utterance, alphabet: Alphabet) -> Utterance | str:
    """Return ``utterance`` with duration and normalised text, or what is wrong with it."""
    lost = unwritable(utterance.text, alphabet)
    if lost:
        return (
            f"{utterance.origin}: {utterance.id}: the transcript has {lost!r}, which the "
            f"alphabet does not: spell it out"
        )
    try:
        duration = audio.duration(utterance.audio)
    except PlainspeechError as error:
        return f"{utterance.origin}: {utterance.id}: {error}"
    return replace(utterance, text=alphabet.normalise(utterance.text), duration=duration)


def unwritable(text: str, alphabet: Alphabet) -> str:
    """Return the letters and digits that normalising ``text`` would drop, each once, sorted.

    Punctuation is silent, but a dropped ``19`` or ``я`` was spoken.
    """
    foreign = alphabet.foreign(unicodedata.normalize("NFKD", text.lower()))
    return "".join(character for character in foreign if character.isalnum())
