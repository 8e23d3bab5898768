"""The outputs of a model for the recordings of a manifest: computed once, decoded many times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from plainspeech.arrays import Array
from plainspeech.data.manifest import Utterance
from plainspeech.evaluation.recognition import Unreadable, read_in_batches
from plainspeech.runtime.bundle import Bundle


class Model(Protocol):
    """The part of a recognizer that tuning needs."""

    @property
    def bundle(self) -> Bundle:
        """The model's features."""

    def log_probabilities(self, waveforms: Sequence[Array], /) -> Sequence[Array]:
        """Return ``(frames, symbols)`` for each ``(samples,)`` waveform."""


@dataclass(frozen=True)
class Outputs:
    """The log-probabilities of the utterances of a manifest.

    Attributes:
        log_probabilities: ``(frames, symbols)`` float32, by the utterance's place in the manifest;
            no frame where the recording is too short for one.
        missing: the utterances that could not be read, by place.
        audio_seconds: length of those that could.
    """

    log_probabilities: dict[int, Array]
    missing: dict[int, Unreadable]
    audio_seconds: float


def compute(
    model: Model, utterances: Sequence[Utterance], on_progress: Callable[[int], None]
) -> Outputs:
    """Run ``model`` on the recordings of ``utterances``.

    Args:
        model: a recognizer.
        utterances: whose recordings to read.
        on_progress: called after each batch with the number of its utterances.
    """
    rate = model.bundle.features.sample_rate
    found: dict[int, Array] = {}
    missing: dict[int, Unreadable] = {}
    samples = 0
    for waveforms, unreadable in read_in_batches(utterances, rate):
        heard = list(waveforms.values())
        found |= zip(waveforms, model.log_probabilities(heard), strict=True)
        missing |= unreadable
        samples += sum(map(len, heard))
        on_progress(len(waveforms) + len(unreadable))
    return Outputs(dict(sorted(found.items())), dict(sorted(missing.items())), samples / rate)
