"""Augmentation: speed perturbation of waveforms and SpecAugment of features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr

from plainspeech.arrays import Array


@dataclass(frozen=True)
class Augmentation:
    """How training utterances are varied, anew in every epoch.

    Attributes:
        speeds: factors of speed perturbation (Ko et al., Interspeech 2015), drawn evenly.
        frequency_warp: the axis of the mel bins is stretched by up to this share, up or down:
            vocal tract length perturbation (Jaitly and Hinton, 2013).
        frequency_masks: bands of mel bins blanked in an utterance.
        frequency_mask_bins: the widest such band.
        time_masks_per_second: spans of time blanked, on average over a second.
        time_mask_seconds: the longest such span.
    """

    speeds: tuple[float, ...] = (0.9, 1.0, 1.1)
    frequency_warp: float = 0.08
    frequency_masks: int = 2
    frequency_mask_bins: int = 20
    time_masks_per_second: float = 0.5
    time_mask_seconds: float = 0.3


def perturb_speed(waveform: Array, speed: float) -> Array:
    """Return ``waveform``, ``(samples,)``, played ``speed`` times as fast, pitch and all."""
    if speed == 1.0:
        return waveform
    # Speech read at a rate ``speed`` times its own lasts 1 / speed as long.
    return np.asarray(soxr.resample(waveform, speed, 1.0, quality="LQ"), np.float32)


def warp_frequency(features: Array, factor: float) -> Array:
    """Return ``features``, ``(frames, bins)``, with bin ``b`` taken from bin ``b * factor``.

    Between two bins, their values are interpolated; beyond the last, it is repeated. On the mel
    scale this moves the formants as another length of the vocal tract does, and leaves the tempo.
    """
    bins = features.shape[1]
    places = np.minimum(np.arange(bins) * factor, bins - 1)
    lower = np.minimum(places.astype(np.int64), bins - 2)
    share = (places - lower).astype(np.float32)
    warped: Array = features[:, lower] * (1 - share) + features[:, lower + 1] * share
    return warped


def spec_augment(
    features: Array, augmentation: Augmentation, hop_seconds: float, random: np.random.Generator
) -> Array:
    """Return ``features`` with bands of frequency and spans of time set to zero, their mean.

    SpecAugment (Park et al., Interspeech 2019) without time warping; the number of spans grows
    with the duration (Park et al., ICASSP 2020).

    Args:
        features: ``(frames, bins)``, normalised to zero mean; not changed.
        augmentation: how many masks and how large.
        hop_seconds: seconds between two frames.
        random: the source of the draws.
    """
    features = features.copy()
    frames, bins = features.shape
    for _ in range(augmentation.frequency_masks):
        start, end = _span(bins, augmentation.frequency_mask_bins, random)
        features[:, start:end] = 0.0
    seconds = frames * hop_seconds
    for _ in range(random.poisson(seconds * augmentation.time_masks_per_second)):
        start, end = _span(frames, round(augmentation.time_mask_seconds / hop_seconds), random)
        features[start:end] = 0.0
    return features


def _span(size: int, widest: int, random: np.random.Generator) -> tuple[int, int]:
    width = int(random.integers(0, min(widest, size) + 1))
    start = int(random.integers(0, size - width + 1))
    return start, start + width
