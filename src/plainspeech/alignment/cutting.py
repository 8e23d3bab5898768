"""Cuts an aligned recording into utterances for training, with their exact texts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile

from plainspeech import audio
from plainspeech.alignment.aligned_text import AlignedWord, Alignment
from plainspeech.arrays import Array
from plainspeech.data.manifest import Utterance, write_manifest
from plainspeech.errors import ConfigurationError, DataError
from plainspeech.files import replacing_folder, shown

LONGEST = 20.0
"""Seconds of an utterance, where there is any pause to cut at."""

_MARGIN = 0.3  # seconds of the pause around an utterance that it keeps, at most
_PAUSE = 0.1  # seconds between two sentences, without which they are not cut apart


@dataclass(frozen=True)
class Cut:
    """One utterance of a recording.

    Attributes:
        start: seconds.
        end: seconds.
        text: as the model's alphabet writes it.
    """

    start: float
    end: float
    text: str


def utterance_folder(manifest: Path) -> Path:
    """Return the folder of the utterances of ``manifest``, which must be new.

    Raises:
        ConfigurationError: the name has no suffix, or the folder is there already.
    """
    if not manifest.suffix:
        raise ConfigurationError(f"{manifest}: the manifest needs a suffix, as in corpus.jsonl")
    folder = manifest.with_suffix("")
    if folder.exists() or folder.is_symlink():
        raise ConfigurationError(
            f"{folder}: exists; the utterances are written there: remove it, or name another "
            f"manifest"
        )
    return folder


def cuts(alignment: Alignment, min_confidence: float = 0.0) -> list[Cut]:
    """Return the utterances of which the text is exact.

    Those are sentences that are spoken word for word, where nothing was heard between the words
    that the text does not have, and that the alphabet can write; longer ones are cut at
    their longest pauses, and sentences without a pause between them stay together.

    Args:
        alignment: of the recording.
        min_confidence: of a sentence, 0 to 1.
    """
    words = alignment.words
    stretches = alignment.disagreements
    breaks = {each.first_word for each in stretches}
    begun = {each.first_word: each.start for each in reversed(stretches)}
    ended = {each.first_word + each.words: each.end for each in stretches}
    found = []
    for first, last in _parts(_sentences(alignment, breaks, min_confidence), words, breaks):
        start, end = words[first].start, words[last - 1].end
        before = max(words[first - 1].end if first else 0.0, ended.get(first, 0.0))
        after = begun.get(last, alignment.duration)
        if last < len(words) and words[last].spoken:
            after = min(after, words[last].start)
        found.append(
            Cut(
                max(start - _MARGIN, min(start, (before + start) / 2)),
                min(end + _MARGIN, max(end, (end + after) / 2)),
                " ".join(word.spelling for word in words[first:last]),
            )
        )
    return found


def _sentences(
    alignment: Alignment, breaks: set[int], min_confidence: float
) -> Iterator[tuple[int, int]]:
    """Yield the numbers of the words of the sentences that can be used."""
    last = 0
    for sentence in alignment.sentences:
        first, last = last, last + len(sentence.words)
        exact = all(word.spoken and word.spelling for word in sentence.words)
        whole = not any(number in breaks for number in range(first + 1, last))
        if exact and whole and sentence.confidence >= min_confidence:
            yield first, last


def _parts(
    sentences: Iterable[tuple[int, int]], words: Sequence[AlignedWord], breaks: set[int]
) -> Iterator[tuple[int, int]]:
    """Yield sentences that no pause separates as one, and long ones in parts."""
    joined: list[tuple[int, int]] = []
    for first, last in sentences:
        if joined and joined[-1][1] == first and first not in breaks:
            begun = joined[-1][0]
            close = words[first].start - words[first - 1].end < _PAUSE
            if close and words[last - 1].end - words[begun].start <= LONGEST:
                joined[-1] = begun, last
                continue
        joined.append((first, last))
    for each in joined:
        yield from _split(each, words)


def _split(part: tuple[int, int], words: Sequence[AlignedWord]) -> Iterator[tuple[int, int]]:
    first, last = part
    if words[last - 1].end - words[first].start <= LONGEST or last - first < 2:
        yield part
        return
    pauses = [b.start - a.end for a, b in pairwise(words[first:last])]
    cut = first + 1 + int(np.argmax(pauses))
    yield from _split((first, cut), words)
    yield from _split((cut, last), words)


def write_utterances(
    source: Path, utterances: Sequence[Cut], manifest: Path, sample_rate: int
) -> None:
    """Write ``utterances`` of ``source`` as FLAC in a folder beside ``manifest``, and the manifest.

    Args:
        source: the recording; it is read in blocks, and its channels are mixed.
        utterances: in order, which do not overlap.
        manifest: its name without suffix is the folder's.
        sample_rate: Hz, of the utterances.

    Raises:
        ConfigurationError: as `utterance_folder`.
        DataError: something cannot be written.
        AudioError: the recording cannot be read.
    """
    folder = utterance_folder(manifest)
    names = [f"{shown(source.stem)}-{number:05}" for number in range(1, len(utterances) + 1)]
    durations = []
    try:
        with replacing_folder(folder) as fresh, audio.opened(source, sample_rate) as recording:
            pieces = _pieces(recording.blocks, utterances, sample_rate)
            for name, waveform in zip(names, pieces, strict=True):
                file = os.fsencode(fresh / f"{name}.flac")  # as text, it would have to be UTF-8
                soundfile.write(file, waveform, sample_rate, format="FLAC", subtype="PCM_16")
                durations.append(len(waveform) / sample_rate)
    except (OSError, soundfile.LibsndfileError) as error:
        raise DataError(f"{folder}: the utterances cannot be written: {error}") from error
    write_manifest(
        manifest,
        [
            Utterance(name, folder / f"{name}.flac", cut.text, round(duration, 4))
            for name, cut, duration in zip(names, utterances, durations, strict=True)
        ],
    )


def _pieces(blocks: Iterable[Array], utterances: Sequence[Cut], rate: int) -> Iterator[Array]:
    """Yield the samples of each of ``utterances``."""
    blocks = iter(blocks)
    kept, begun = np.empty(0, np.float32), 0  # samples from ``begun`` on
    for cut in utterances:
        first, last = round(cut.start * rate), round(cut.end * rate)
        while begun + len(kept) < last:
            block = next(blocks, None)
            if block is None:  # the last frame of the network reaches beyond the end
                break
            dropped = min(max(0, first - begun), len(kept))
            kept, begun = np.concatenate([kept[dropped:], block]), begun + dropped
        yield np.clip(kept[max(0, first - begun) : last - begun], -1.0, 1.0)
