"""Pseudo-labels: transcripts of untranscribed recordings by a model, for self-training.

The beam search adds the knowledge of the language model to that of the acoustic model, and a model
trained on the labels learns it (noisy student training for speech: Park et al., Interspeech 2020).
A text far from that of greedy decoding is mostly wrong, so labels are selected by their agreement
with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from plainspeech import audio
from plainspeech.arrays import Array
from plainspeech.data.manifest import Track, Utterance, untracked
from plainspeech.decoding.greedy import greedy_text
from plainspeech.errors import AudioError, DataError
from plainspeech.evaluation.error_rates import Pair, error_rates
from plainspeech.files import files_below, shown
from plainspeech.runtime.recognizer import Recognizer

_BATCH = 32  # recordings in memory at a time


@dataclass(frozen=True)
class PseudoLabel:
    """A recording with the text that a model recognised in it.

    Attributes:
        utterance: with the text of the model's decoder.
        agreement: 1 less the character error rate of that text against greedy decoding; 0 where
            nothing was recognised.
    """

    utterance: Utterance
    agreement: float


def find_recordings(sources: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Return the recordings that ``sources`` are or hold, in order, each once.

    Hidden files of a folder, which may be what macOS leaves beside recordings, do not count. With
    them comes a line for each folder that cannot be read.

    Raises:
        DataError: one is missing or holds none.
    """
    found: dict[Path, None] = {}
    problems: list[str] = []
    for source in sources:
        files = [source] * source.is_file()
        if source.is_dir():
            below, faults = files_below(source)
            files = [file for file in below if not file.name.startswith(".")]
            problems += faults
        recordings = [file for file in files if file.suffix.lower() in audio.EXTENSIONS]
        if not recordings:
            raise DataError(f"{source}: is neither a recording nor a folder with recordings")
        found.update(dict.fromkeys(recordings))
    return list(found), problems


def pseudo_label(
    recognizer: Recognizer, recordings: Sequence[Path], track: Track = untracked
) -> tuple[list[PseudoLabel], list[str]]:
    """Transcribe ``recordings``.

    Args:
        recognizer: whose decoder writes the labels.
        recordings: to transcribe, one utterance each.
        track: shows progress.

    Returns:
        A label for each that can be read, in order, and a line for each that cannot. Its id is the
        recording's name, or its path where another has that name, too.
    """
    names = Counter(path.stem for path in recordings)
    labels: list[PseudoLabel] = []
    problems: list[str] = []
    starts = range(0, len(recordings), _BATCH)
    for start in track(starts, len(starts)):
        paths = recordings[start : start + _BATCH]
        read = {path: _read(path, recognizer.bundle.features.sample_rate) for path in paths}
        problems += [problem for problem in read.values() if isinstance(problem, str)]
        waveforms = {path: found for path, found in read.items() if not isinstance(found, str)}
        ids = {path: path.stem if names[path.stem] == 1 else str(path) for path in waveforms}
        labels += _labels(recognizer, waveforms, ids)
    return labels, problems


def _read(path: Path, sample_rate: int) -> Array | str:
    """Return the waveform of a recording, or what is wrong with it."""
    try:
        return audio.read(path, sample_rate)
    except AudioError as error:
        return str(error)


def _labels(
    recognizer: Recognizer, batch: dict[Path, Array], ids: dict[Path, str]
) -> Iterator[PseudoLabel]:
    rows = recognizer.log_probabilities(list(batch.values()))
    transcripts = recognizer.decoder.decode_batch(rows, recognizer.threads)
    for (path, waveform), outputs, transcript in zip(batch.items(), rows, transcripts, strict=True):
        seconds = len(waveform) / recognizer.bundle.features.sample_rate
        text = transcript.text
        alphabet = recognizer.bundle.alphabet
        pair = Pair(path.stem, "", greedy_text(outputs[:, : alphabet.size], alphabet), text)
        agreement = max(0.0, 1.0 - error_rates([pair]).characters.rate) if text else 0.0
        utterance = Utterance(shown(ids[path]), path, text, seconds, _speaker(path.stem))
        yield PseudoLabel(utterance, agreement)


def _speaker(name: str) -> str:
    """Return whom LibriSpeech's ``speaker-chapter-utterance`` names; nothing for other names."""
    return name.partition("-")[0] if name.count("-") == 2 else ""
