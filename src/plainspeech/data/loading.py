"""From manifests to padded batches of features, a few batches ahead of the training."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from plainspeech import audio
from plainspeech.alphabet import Alphabet
from plainspeech.arrays import Array
from plainspeech.data.augment import (
    Augmentation,
    perturb_speed,
    spec_augment,
    warp_frequency,
)
from plainspeech.data.manifest import Utterance
from plainspeech.errors import PlainspeechError
from plainspeech.features import FeatureSettings, LogMel

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Utterances padded to the longest, as the model and the loss take them.

    Attributes:
        utterances: in the order of the rows.
        features: ``(batch, frames, bins)``, padded with zeros.
        lengths: ``(batch,)`` frames of each utterance.
        targets: ``(batch, symbols)`` ids, padded with zeros.
        target_lengths: ``(batch,)``.
    """

    utterances: tuple[Utterance, ...]
    features: Array
    lengths: Ids
    targets: Ids
    target_lengths: Ids


class FeatureSource:
    """Features of utterances, kept in memory once computed, as far as a limit allows.

    Args:
        settings: of the features.
        cache_bytes: how much to keep; beyond it, features are computed anew each time.
    """

    def __init__(self, settings: FeatureSettings, cache_bytes: float) -> None:
        self.settings = settings
        self._log_mel = LogMel(settings)
        self._cache: dict[tuple[str, float], Array] = {}
        self._free = cache_bytes
        self._lock = Lock()

    def __call__(self, utterance: Utterance, speed: float = 1.0) -> Array:
        """Return the features of ``utterance`` at ``speed``, ``(frames, bins)``.

        Raises:
            PlainspeechError: the recording cannot be read; the message names the manifest's line.
        """
        key = (utterance.id, speed)
        features = self._cache.get(key)
        if features is None:
            features = self._compute(utterance, speed)
            self._keep(key, features)
        return features

    def _keep(self, key: tuple[str, float], features: Array) -> None:
        with self._lock:
            if key not in self._cache and features.nbytes <= self._free:
                self._cache[key] = features
                self._free -= features.nbytes

    def _compute(self, utterance: Utterance, speed: float) -> Array:
        try:
            waveform = audio.read(utterance.audio, self.settings.sample_rate)
        except PlainspeechError as error:
            raise PlainspeechError(f"{utterance.origin}: {utterance.id}: {error}") from error
        return self._log_mel(perturb_speed(waveform, speed))


class Loader:
    """Makes the batches of a plan, in threads, a few ahead of whoever takes them.

    Args:
        utterances: that plans index.
        source: of their features.
        alphabet: of their targets.
        augmentation: None leaves them as they are.
        seed: with the epoch and the utterance's id, it settles every draw, so that a batch is the
            same whenever and wherever it is made.
        threads: that read and compute.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        source: FeatureSource,
        alphabet: Alphabet,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        threads: int = 2,
    ) -> None:
        self.utterances = utterances
        self._source = source
        self._alphabet = alphabet
        self._augmentation = augmentation
        self._seed = seed
        self._threads = threads

    def batches(self, plan: Sequence[Sequence[int]], epoch: int = 0) -> Iterator[Batch]:
        """Yield the batches of ``plan`` in order."""
        ahead: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(self._threads) as pool:
            try:
                for indices in plan:
                    ahead.append(pool.submit(self._make, indices, epoch))
                    if len(ahead) > 2 * self._threads:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()

    def _make(self, indices: Sequence[int], epoch: int) -> Batch:
        utterances = tuple(self.utterances[index] for index in indices)
        features = [self._features(utterance, epoch) for utterance in utterances]
        targets = [np.array(self._alphabet.encode(u.text), np.int64) for u in utterances]
        return Batch(
            utterances=utterances,
            features=_pad(features),
            lengths=np.array([len(f) for f in features], np.int64),
            targets=_pad(targets),
            target_lengths=np.array([len(t) for t in targets], np.int64),
        )

    def _features(self, utterance: Utterance, epoch: int) -> Array:
        if self._augmentation is None:
            return self._source(utterance)
        random = np.random.default_rng((self._seed, epoch, crc32(utterance.id.encode())))
        speed = float(random.choice(self._augmentation.speeds))
        warp = self._augmentation.frequency_warp
        features = self._source(utterance, speed)
        features = warp_frequency(features, float(random.uniform(1 - warp, 1 + warp)))
        hop_seconds = self._source.settings.hop_ms / 1000
        return spec_augment(features, self._augmentation, hop_seconds, random)


def _pad(rows: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Stack arrays of unlike length along a new first axis, with zeros after the short ones."""
    longest = max(len(row) for row in rows)
    padded = np.zeros((len(rows), longest, *rows[0].shape[1:]), rows[0].dtype)
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return padded
