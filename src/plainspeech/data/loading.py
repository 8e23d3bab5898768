"""From manifests to padded batches of waveforms, planned and prefetched.

A plan is a pure function of the durations, the seed and the epoch, so a run that resumes at batch
k of epoch e needs nothing but k and e.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from plainspeech import audio
from plainspeech.alphabet import Alphabet
from plainspeech.audio.sources import Source
from plainspeech.data.manifest import Utterance
from plainspeech.errors import AudioError, PlainspeechError
from plainspeech.pronunciations import Pronunciations

Ids = npt.NDArray[np.int64]
Samples = npt.NDArray[np.int16]

FULL_SCALE = 32_768
"""Full scale in the 16 bits of cached waveforms; the largest sample is one less."""


@dataclass(frozen=True)
class Batch:
    """Utterances padded to the longest.

    Attributes:
        utterances: in the order of the rows.
        waveforms: ``(batch, samples)`` int16, padded with zeros.
        lengths: ``(batch,)`` samples of each utterance.
        targets: ``(batch, symbols)`` ids, padded with zeros.
        target_lengths: ``(batch,)``.
        phones: ``(batch, phones)`` ids, padded with zeros; without columns where no lexicon is.
        phone_lengths: ``(batch,)``; 0 where the lexicon lacks a word.
    """

    utterances: tuple[Utterance, ...]
    waveforms: Samples
    lengths: Ids
    targets: Ids
    target_lengths: Ids
    phones: Ids
    phone_lengths: Ids


class WaveformSource:
    """Waveforms of utterances, kept in memory once read, as far as a limit allows.

    They are kept in 16 bits: an hour at 16 kHz takes 115 MB.

    Args:
        sample_rate: Hz, of the waveforms.
        cache_bytes: how much to keep; beyond it, recordings are read again each time.
    """

    def __init__(self, sample_rate: int, cache_bytes: float) -> None:
        self._sample_rate = sample_rate
        self._cache: dict[str, Samples] = {}
        self._free = cache_bytes
        self._lock = Lock()

    def __call__(self, utterance: Utterance) -> Samples:
        """Return the waveform of ``utterance``, ``(samples,)``.

        Raises:
            AudioError: the recording cannot be read; the message names the manifest's line.
        """
        waveform = self._cache.get(utterance.id)
        if waveform is None:
            waveform = self._read(utterance)
            self._keep(utterance.id, waveform)
        return waveform

    def _keep(self, key: str, waveform: Samples) -> None:
        with self._lock:
            if key not in self._cache and waveform.nbytes <= self._free:
                self._cache[key] = waveform
                self._free -= waveform.nbytes

    def _read(self, utterance: Utterance) -> Samples:
        return waveform_of(utterance.audio, self._sample_rate, utterance)


def waveform_of(source: Source, sample_rate: int, utterance: Utterance) -> Samples:
    """Return the waveform of a recording in 16 bits, ``(samples,)``.

    Args:
        source: path or binary file of the recording.
        sample_rate: Hz, of the waveform.
        utterance: that it is of, for messages.

    Raises:
        AudioError: the recording cannot be read; the message names the manifest's line.
    """
    try:
        waveform = audio.read(source, sample_rate)
    except PlainspeechError as error:
        raise AudioError(f"{utterance.origin}: {utterance.id}: {error}") from error
    # A waveform of floats beyond full scale is scaled down, so that it does not wrap.
    loudest = max(1.0, float(np.abs(waveform).max()))
    scaled = np.round(waveform * (FULL_SCALE / loudest))
    return scaled.clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


class Loader:
    """Makes the batches of a plan in threads, a few in advance.

    Args:
        utterances: that plans index.
        source: of their waveforms.
        alphabet: of their targets.
        threads: that read.
        pronunciations: of their words; None for a model that learns letters alone.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        source: WaveformSource,
        alphabet: Alphabet,
        threads: int = 2,
        pronunciations: Pronunciations | None = None,
    ) -> None:
        self.utterances = utterances
        self._source = source
        self._alphabet = alphabet
        self._threads = threads
        self._pronunciations = pronunciations

    def steps(
        self, batch_seconds: float, parts: int, seed: int, epoch: int
    ) -> list[list[Sequence[int]]]:
        """Return the batches of an epoch, as `plan_epoch` makes them, each in ``parts``."""
        durations = [utterance.duration for utterance in self.utterances]
        return [dealt(batch, parts) for batch in plan_epoch(durations, batch_seconds, seed, epoch)]

    def batches(self, plan: Sequence[Sequence[int]]) -> Iterator[Batch]:
        """Yield the batches of ``plan`` in order."""
        ahead: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(self._threads) as pool:
            try:
                for indices in plan:
                    ahead.append(pool.submit(self._make, indices))
                    if len(ahead) > 2 * self._threads:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()

    def read_all(self, on_each: Callable[[], None]) -> None:
        """Read every recording once.

        Args:
            on_each: called after each; what it raises ends the reading.

        Raises:
            AudioError: one cannot be read.
        """
        for _ in self.batches([[index] for index in range(len(self.utterances))]):
            on_each()

    def _make(self, indices: Sequence[int]) -> Batch:
        utterances = tuple(self.utterances[index] for index in indices)
        waveforms = [self._source(utterance) for utterance in utterances]
        return batch_of(utterances, waveforms, self._alphabet, self._pronunciations)


def batch_of(
    utterances: tuple[Utterance, ...],
    waveforms: Sequence[Samples],
    alphabet: Alphabet,
    pronunciations: Pronunciations | None = None,
) -> Batch:
    """Return ``utterances`` with their ``waveforms`` as a padded batch."""
    texts = [utterance.text for utterance in utterances]
    targets = [np.array(alphabet.encode(text), np.int64) for text in texts]
    phones = [np.array(_phones(text, pronunciations), np.int64) for text in texts]
    return Batch(
        utterances=utterances,
        waveforms=_pad(waveforms),
        lengths=np.array([len(w) for w in waveforms], np.int64),
        targets=_pad(targets),
        target_lengths=np.array([len(t) for t in targets], np.int64),
        phones=_pad(phones),
        phone_lengths=np.array([len(p) for p in phones], np.int64),
    )


def silence(sample_rate: int) -> Batch:
    """Return a second of silence with one symbol for its text: a batch where there is none."""
    one = np.ones(1, np.int64)
    quiet = np.zeros((1, sample_rate), np.int16)
    target = np.zeros((1, 1), np.int64)
    return Batch((), quiet, sample_rate * one, target, one, target, one)


def _phones(text: str, pronunciations: Pronunciations | None) -> list[int]:
    return (pronunciations.encode(text) or []) if pronunciations else []


def _pad(rows: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Stack arrays of unlike length along a new first axis, with zeros after the short ones."""
    longest = max(len(row) for row in rows)
    padded = np.zeros((len(rows), longest, *rows[0].shape[1:]), rows[0].dtype)
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return padded


def plan_epoch(
    durations: Sequence[float], batch_seconds: float, seed: int, epoch: int
) -> list[list[int]]:
    """Return the batches of an epoch as lists of indices into ``durations``.

    Utterances of like duration share a batch, so that little of it is padding; durations are
    jittered by a few percent before they are sorted, so that neighbours change between epochs.
    The first epoch runs from short to long, which CTC learns more easily from (Amodei et al.,
    ICML 2016); later ones are shuffled.

    Args:
        durations: seconds of each utterance.
        batch_seconds: a batch holds at most this much, padding included, but at least one
            utterance.
        seed: of the run.
        epoch: counted from 0.
    """
    random = np.random.default_rng((seed, epoch))
    seconds = np.asarray(durations, np.float64)
    order = np.argsort(seconds * random.uniform(0.95, 1.05, len(seconds)), kind="stable")
    batches: list[list[int]] = []
    longest = 0.0
    for index in order.tolist():
        longest = max(longest, seconds[index])
        if not batches or longest * (len(batches[-1]) + 1) > batch_seconds:
            batches.append([])
            longest = seconds[index]
        batches[-1].append(index)
    if epoch > 0:
        random.shuffle(batches)
    return batches


def dealt(batch: Sequence[int], parts: int) -> list[Sequence[int]]:
    """Return ``batch`` in ``parts`` of nearly the same size, some empty if there are too many."""
    return [batch[part::parts] for part in range(parts)]
