"""Test-time augmentation: the network hears each utterance from vocal tracts of several lengths.

A shorter vocal tract has its formants higher. Training moves them by a random factor (vocal tract
length perturbation, Jaitly and Hinton, 2013). Here the network computes the same utterance with
several factors, one after another, and the mean of the log-probabilities errs less than each: where
one of them is wrong the others often are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plainspeech.arrays import Array
from plainspeech.errors import ConfigurationError, wrong_type

_MOST = 8
_SMALLEST, _LARGEST = 0.5, 2.0


@dataclass(frozen=True)
class FrequencyWarps:
    """The factors by which the frequencies of an utterance are warped, each for a run of its own.

    Attributes:
        factors: 1 to 8, from 0.5 to 2, each once; above 1 formants move down. One factor of 1
            changes nothing.

    Raises:
        ConfigurationError: there are no such factors.
    """

    factors: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if not 1 <= len(self.factors) <= _MOST:
            raise ConfigurationError(
                f"frequency_warps: has {len(self.factors)} factors; give 1 to {_MOST}"
            )
        for factor in self.factors:
            if not _SMALLEST <= factor <= _LARGEST:  # or NaN
                raise ConfigurationError(
                    f"frequency_warps: {str(factor)[:20]} is not from {_SMALLEST:g} to {_LARGEST:g}"
                )
        if len(set(self.factors)) < len(self.factors):
            raise ConfigurationError("frequency_warps: a factor is there twice")

    @classmethod
    def of(cls, factors: object) -> FrequencyWarps:
        """Return these factors, a sequence of numbers.

        Raises:
            ConfigurationError: they are something else, or cannot be.
        """
        if not isinstance(factors, Sequence) or isinstance(factors, str | bytes):
            raise ConfigurationError(
                wrong_type("frequency_warps", factors, "pass numbers, such as (0.9, 1.05)")
            )
        for factor in factors:
            if isinstance(factor, bool) or not isinstance(factor, int | float):
                raise ConfigurationError(
                    wrong_type("frequency_warps", factor, "pass numbers, such as (0.9, 1.05)")
                )
        return cls(tuple(factors))

    @property
    def description(self) -> str:
        """In words; empty where nothing is warped."""
        if self.factors == (1.0,):
            return ""
        return f"frequencies warped by {' and '.join(map(str, self.factors))}"

    def warped(self, features: Array) -> list[Array]:
        """Return features with bin ``b`` taken from bin ``b * factor``, for each factor.

        Between two bins their values are interpolated; beyond the last, it is repeated. This is
        `plainspeech.training.augmentation.warp_frequency`.

        Args:
            features: ``(..., bins)``.
        """
        return [_warped(features, factor) for factor in self.factors]

    def mean(self, outputs: Sequence[Array], sizes: Sequence[int]) -> Array:
        """Return the normalised geometric mean of distributions.

        Args:
            outputs: ``(..., columns)`` log-probabilities, one array for each factor.
            sizes: of the distributions that lie side by side in the columns.
        """
        if len(outputs) == 1:
            return outputs[0]
        mean = np.mean(outputs, axis=0, dtype=np.float32)
        parts = np.split(mean, np.cumsum(sizes)[:-1], axis=-1)
        with np.errstate(invalid="ignore"):  # of a network that gives no numbers
            return np.concatenate([_normalised(part) for part in parts], axis=-1)


UNWARPED = FrequencyWarps()
"""The network is run once, on the features as they are."""


def _warped(features: Array, factor: float) -> Array:
    if factor == 1:
        return features
    bins = features.shape[-1]
    places = np.minimum(np.arange(bins) * factor, bins - 1)
    lower = np.minimum(places.astype(np.int64), max(bins - 2, 0))
    upper = np.minimum(lower + 1, bins - 1)
    share = (places - lower).astype(np.float32)
    low = features[..., lower]
    warped: Array = low + share * (features[..., upper] - low)
    return warped


def _normalised(log_weights: Array) -> Array:
    highest = log_weights.max(axis=-1, keepdims=True)
    total = np.exp(log_weights - highest).sum(axis=-1, keepdims=True)
    normalised: Array = log_weights - highest - np.log(total)
    return normalised
