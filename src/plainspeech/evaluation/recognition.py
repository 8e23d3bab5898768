"""Transcribes the recordings of a manifest and pairs the texts with their references."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from plainspeech import audio
from plainspeech.alphabet import Alphabet
from plainspeech.arrays import Array
from plainspeech.data.manifest import Utterance
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.errors import AudioError, ConfigurationError
from plainspeech.evaluation.conventions import LIBRISPEECH, Convention
from plainspeech.evaluation.error_rates import Pair
from plainspeech.evaluation.explanation import Explainer, Explanation
from plainspeech.evaluation.signal import signal_to_noise
from plainspeech.runtime.analysis import analyse_waveform
from plainspeech.runtime.live import LiveModel
from plainspeech.runtime.recognizer import Recognizer
from plainspeech.transcript import Transcript, Word

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
class Details:
    """What is known of an utterance besides its two texts.

    Attributes:
        audio: path of the recording.
        duration: seconds.
        signal_to_noise: decibels, see `plainspeech.evaluation.signal`.
        words: that were recognised, with times and confidences.
        unknown: words that were said and are not in the decoder's lexicon; None without one.
        explanations: of its errors; None where they were not asked for.
    """

    audio: Path
    duration: float
    signal_to_noise: float
    words: tuple[Word, ...]
    unknown: tuple[str, ...] | None = None
    explanations: tuple[Explanation, ...] | None = None


@dataclass(frozen=True)
class Recognition:
    """What a model recognised in a corpus.

    Attributes:
        pairs: the utterances that could be read, in the order of the manifest.
        missing: those that could not.
        audio_seconds: length of the former.
        elapsed_seconds: for reading and recognising all of them.
        details: of each of ``pairs``; empty where they were not noted.
    """

    pairs: tuple[Pair, ...]
    missing: tuple[Unreadable, ...]
    audio_seconds: float
    elapsed_seconds: float
    details: tuple[Details, ...] = ()

    @property
    def real_time_factor(self) -> float:
        """Seconds of computation per second of audio; zero without audio."""
        return self.elapsed_seconds / self.audio_seconds if self.audio_seconds else 0.0


def recognise(
    recognizer: Recognizer | LiveModel,
    utterances: Sequence[Utterance],
    on_progress: Callable[[int], None],
    on_unreadable: Callable[[Unreadable], None],
    explain: bool = False,
    convention: Convention = LIBRISPEECH,
) -> Recognition:
    """Recognise ``utterances`` in batches of similar length.

    Args:
        recognizer: the model.
        utterances: what to recognise; their texts are normalised to the model's alphabet.
        on_progress: called after each batch with the number of its utterances.
        on_unreadable: called for each utterance that cannot be read.
        explain: whether to find what each error is due to, which takes about as long again.
        convention: by which texts are compared.

    Raises:
        ConfigurationError: errors are to be explained, and it is not a `Recognizer` with the beam
            search, or they are counted by another convention than LibriSpeech's.
    """
    if explain and convention != LIBRISPEECH:
        raise ConfigurationError(
            f"explain: explains errors by LibriSpeech's convention of scoring, and this is "
            f"{convention.description}; evaluate with one or the other"
        )
    rate = recognizer.bundle.features.sample_rate
    describe = _Describer(recognizer, explain)
    texts: dict[int, str] = {}
    details: dict[int, Details] = {}
    missing: dict[int, Unreadable] = {}
    samples, elapsed, started = 0, 0.0, time.perf_counter()
    for waveforms, unreadable in read_in_batches(utterances, rate):
        for utterance in unreadable.values():
            on_unreadable(utterance)
        transcripts = recognizer.transcribe_recordings(list(waveforms.values()))
        elapsed += time.perf_counter() - started
        for (place, waveform), transcript in zip(waveforms.items(), transcripts, strict=True):
            texts[place] = transcript.text
            details[place] = describe(utterances[place], waveform, transcript)
        missing |= unreadable
        samples += sum(map(len, waveforms.values()))
        on_progress(len(waveforms) + len(unreadable))
        started = time.perf_counter()
    return Recognition(
        pairs=_pairs(utterances, texts, recognizer.bundle.alphabet, convention),
        missing=tuple(missing[place] for place in sorted(missing)),
        audio_seconds=samples / rate,
        elapsed_seconds=elapsed,
        details=tuple(details[place] for place in sorted(details)),
    )


class _Describer:
    """Makes the `Details` of utterances."""

    def __init__(self, recognizer: Recognizer | LiveModel, explain: bool) -> None:
        self._recognizer = recognizer
        self._rate = recognizer.bundle.features.sample_rate
        self._explain = explain
        self._explainer: Explainer | None = None
        if explain and not isinstance(recognizer, Recognizer):
            raise ConfigurationError("explain: needs whole utterances, not live transcription")
        if explain or isinstance(recognizer.decoder, BeamSearchDecoder):
            self._explainer = Explainer(recognizer.decoder, recognizer.bundle.alphabet)

    def __call__(self, said: Utterance, waveform: Array, transcript: Transcript) -> Details:
        explanations = None
        if self._explain and isinstance(self._recognizer, Recognizer) and self._explainer:
            analysis = analyse_waveform(self._recognizer, waveform)
            explanations = tuple(self._explainer.explain(analysis, said.text))
        return Details(
            audio=said.audio,
            duration=len(waveform) / self._rate,
            signal_to_noise=signal_to_noise(waveform, self._rate),
            words=transcript.words,
            unknown=self._explainer.unknown_words(said.text) if self._explainer else None,
            explanations=explanations,
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
    utterances: Sequence[Utterance],
    texts: Mapping[int, str],
    alphabet: Alphabet,
    convention: Convention,
) -> tuple[Pair, ...]:
    return tuple(
        Pair(
            said.id,
            said.speaker,
            convention.reference(said.text, alphabet),
            convention.hypothesis(texts[place], alphabet),
        )
        for place, said in enumerate(utterances)
        if place in texts
    )
