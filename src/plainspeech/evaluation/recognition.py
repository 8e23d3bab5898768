"""Transcribe the recordings of a manifest and set each beside its reference."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from plainspeech import audio
from plainspeech.data.manifest import Utterance
from plainspeech.errors import PlainspeechError
from plainspeech.evaluation.error_rates import Pair
from plainspeech.runtime.bundle import Bundle
from plainspeech.transcript import Transcript

Array = npt.NDArray[np.float32]

BATCH_SECONDS = 120.0
"""Audio that is recognised at once, padding included."""


class Recognizer(Protocol):
    """What evaluation asks of a model."""

    @property
    def bundle(self) -> Bundle:
        """The model's alphabet, features and card."""

    def transcribe_waveforms(self, waveforms: list[Array], /) -> Sequence[Transcript]:
        """Return a transcript of each ``(samples,)`` waveform at the features' sample rate."""


@dataclass(frozen=True)
class Missing:
    """An utterance that could not be read.

    Attributes:
        id: of the utterance.
        reason: one line that names the manifest, the line and the file.
    """

    id: str
    reason: str


@dataclass(frozen=True)
class Recognition:
    """What a model heard in a corpus.

    Attributes:
        pairs: the utterances that could be read, in the order of the manifest.
        missing: those that could not.
        audio_seconds: length of the former.
        elapsed_seconds: for reading and recognising all of them.
    """

    pairs: tuple[Pair, ...]
    missing: tuple[Missing, ...]
    audio_seconds: float
    elapsed_seconds: float

    @property
    def real_time_factor(self) -> float:
        """Seconds of work a second of audio; zero where there is no audio."""
        return self.elapsed_seconds / self.audio_seconds if self.audio_seconds else 0.0


def recognise(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    on_progress: Callable[[int], None],
    on_missing: Callable[[Missing], None],
) -> Recognition:
    """Recognise ``utterances`` in batches of similar length.

    Args:
        recognizer: the model.
        utterances: what to recognise; their texts are normalised to the model's alphabet.
        on_progress: called after each batch with the number of its utterances.
        on_missing: called for each utterance that cannot be read.
    """
    alphabet, rate = recognizer.bundle.alphabet, recognizer.bundle.features.sample_rate
    hypotheses: dict[int, str] = {}
    missing: dict[int, Missing] = {}
    samples, started = 0, time.perf_counter()
    for places in _batches(utterances):
        waveforms = {}
        for place in places:
            try:
                waveforms[place] = audio.read(utterances[place].audio, rate)
            except PlainspeechError as error:
                missing[place] = _missing(utterances[place], error)
                on_missing(missing[place])
        transcripts = recognizer.transcribe_waveforms(list(waveforms.values()))
        hypotheses |= {
            place: transcript.text for place, transcript in zip(waveforms, transcripts, strict=True)
        }
        samples += sum(map(len, waveforms.values()))
        on_progress(len(places))
    return Recognition(
        pairs=tuple(
            Pair(said.id, said.speaker, alphabet.normalise(said.text), hypotheses[place])
            for place, said in enumerate(utterances)
            if place in hypotheses
        ),
        missing=tuple(missing[place] for place in sorted(missing)),
        audio_seconds=samples / rate,
        elapsed_seconds=time.perf_counter() - started,
    )


def _missing(utterance: Utterance, error: PlainspeechError) -> Missing:
    where = f"{utterance.origin}: " if utterance.origin else ""
    return Missing(utterance.id, f"{where}{error}")


def _batches(utterances: Sequence[Utterance]) -> Iterator[list[int]]:
    """Yield the places of ``utterances``, longest first: what takes most memory fails first."""
    batch: list[int] = []
    for place in sorted(range(len(utterances)), key=lambda place: -utterances[place].duration):
        if batch and utterances[batch[0]].duration * (len(batch) + 1) > BATCH_SECONDS:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
