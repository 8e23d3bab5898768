"""Transcribes the recordings of a manifest and pairs the texts with their references."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from plainspeech import audio
from plainspeech.alphabet import Alphabet
from plainspeech.arrays import Array
from plainspeech.data.manifest import Utterance
from plainspeech.errors import AudioError
from plainspeech.evaluation.error_rates import Pair
from plainspeech.runtime.live import LiveModel
from plainspeech.runtime.recognizer import Recognizer

_BATCH = 32  # utterances between two updates of the progress; the recognizer makes its own batches


@dataclass(frozen=True)
class Unreadable:
    """An utterance that could not be read.

    Attributes:
        id: of the utterance.
        reason: one line that names the manifest, the line and the file.
    """

    id: str
    reason: str


@dataclass(frozen=True)
class Recognition:
    """What a model recognised in a corpus.

    Attributes:
        pairs: the utterances that could be read, in the order of the manifest.
        missing: those that could not.
        audio_seconds: length of the former.
        elapsed_seconds: for reading and recognising all of them.
    """

    pairs: tuple[Pair, ...]
    missing: tuple[Unreadable, ...]
    audio_seconds: float
    elapsed_seconds: float

    @property
    def real_time_factor(self) -> float:
        """Seconds of computation per second of audio; zero without audio."""
        return self.elapsed_seconds / self.audio_seconds if self.audio_seconds else 0.0


def recognise(
    recognizer: Recognizer | LiveModel,
    utterances: Sequence[Utterance],
    on_progress: Callable[[int], None],
    on_unreadable: Callable[[Unreadable], None],
) -> Recognition:
    """Recognise ``utterances`` in batches of similar length.

    Args:
        recognizer: the model.
        utterances: what to recognise; their texts are normalised to the model's alphabet.
        on_progress: called after each batch with the number of its utterances.
        on_unreadable: called for each utterance that cannot be read.
    """
    rate = recognizer.bundle.features.sample_rate
    texts: dict[int, str] = {}
    missing: dict[int, Unreadable] = {}
    samples, started = 0, time.perf_counter()
    for waveforms, unreadable in read_in_batches(utterances, rate):
        for utterance in unreadable.values():
            on_unreadable(utterance)
        transcripts = recognizer.transcribe_recordings(list(waveforms.values()))
        texts |= zip(waveforms, (transcript.text for transcript in transcripts), strict=True)
        missing |= unreadable
        samples += sum(map(len, waveforms.values()))
        on_progress(len(waveforms) + len(unreadable))
    return Recognition(
        pairs=_pairs(utterances, texts, recognizer.bundle.alphabet),
        missing=tuple(missing[place] for place in sorted(missing)),
        audio_seconds=samples / rate,
        elapsed_seconds=time.perf_counter() - started,
    )


def read_in_batches(
    utterances: Sequence[Utterance], sample_rate: int
) -> Iterator[tuple[dict[int, Array], dict[int, Unreadable]]]:
    """Yield waveforms and unreadable utterances, by place, in batches of similar length.

    Args:
        utterances: whose recordings to read.
        sample_rate: Hz, of the ``(samples,)`` waveforms.
    """
    for places in _batches(utterances):
        yield _read(utterances, places, sample_rate)


def _batches(utterances: Sequence[Utterance]) -> Iterator[list[int]]:
    """Yield places in ``utterances``, longest first: what takes most memory fails first."""
    places = sorted(range(len(utterances)), key=lambda place: -utterances[place].duration)
    for start in range(0, len(places), _BATCH):
        yield places[start : start + _BATCH]


def _read(
    utterances: Sequence[Utterance], places: Sequence[int], sample_rate: int
) -> tuple[dict[int, Array], dict[int, Unreadable]]:
    """Return the waveforms of the utterances at ``places``, and those that have none."""
    waveforms: dict[int, Array] = {}
    missing: dict[int, Unreadable] = {}
    for place in places:
        utterance = utterances[place]
        try:
            waveforms[place] = audio.read(utterance.audio, sample_rate)
        except AudioError as error:
            where = f"{utterance.origin}: " if utterance.origin else ""
            missing[place] = Unreadable(utterance.id, f"{where}{error}")
    return waveforms, missing


def _pairs(
    utterances: Sequence[Utterance], texts: Mapping[int, str], alphabet: Alphabet
) -> tuple[Pair, ...]:
    return tuple(
        Pair(said.id, said.speaker, alphabet.normalise(said.text), texts[place])
        for place, said in enumerate(utterances)
        if place in texts
    )
