"""Normalisation of log filter bank energies: over an utterance, over its speech, or running."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from plainspeech.arrays import Array

_Doubles = npt.NDArray[np.float64]

LEAST_DEVIATION = math.sqrt(np.finfo(np.float32).eps)
"""Floor under the deviation that features are divided by."""

GATES_DB = (10.0, 10.0, 30.0)
"""Gates of the level of speech, in dB below the level of the pass before, one for each pass."""

SILENCE = -3.0
"""Lower bound of normalised features, in deviations from the mean of speech."""


def _ratio(decibels: float) -> float:
    return float(10 ** (decibels / 10))


_ONSET, _NEAR = _ratio(20.0), _ratio(-GATES_DB[0])


def normalise_utterance(energies: Array) -> Array:
    """Bring every bin to zero mean and unit deviation over all frames, ``(frames, bins)``."""
    if not len(energies):
        return energies
    # A silent recording has no deviation; the floor keeps it at zero instead of NaN.
    deviation = np.maximum(energies.std(axis=0), LEAST_DEVIATION)
    return np.asarray((energies - energies.mean(axis=0)) / deviation, np.float32)


def normalise_speech(energies: Array) -> Array:
    """Bring every bin to zero mean and unit deviation over the frames of speech.

    The level of speech is that of ITU-R BS.1770's gated loudness: the mean power of all frames,
    then that of the frames no more than 10 dB below it, twice; so silence of any length hardly
    changes it. Frames within 30 dB of the level are taken for speech. Lower values are clipped to
    `SILENCE`, so that studio background and digital zeros give the same features.

    Args:
        energies: ``(frames, bins)``, natural logs of filter bank energies.

    Returns:
        ``(frames, bins)`` float32.
    """
    if not len(energies):
        return energies
    power = np.exp(energies).mean(axis=1)
    speech = np.ones(len(power), bool)
    for gate in GATES_DB:
        speech = power >= power[speech].mean() * _ratio(-gate)
    mean = energies[speech].mean(axis=0)
    # A stationary signal has no deviation; the floor keeps it at zero instead of NaN.
    deviation = np.maximum(energies[speech].std(axis=0), LEAST_DEVIATION)
    normalised: Array = np.maximum((energies - mean) / deviation, np.float32(SILENCE))
    return normalised


class RunningNormalisation:
    """Brings every bin to zero mean and unit deviation over all frames so far.

    Each frame moves the means of the energies and of their squares by ``1 / weight`` of its
    difference to them. The weight begins at that of the prior, a second, and grows by one a frame
    up to `HORIZON`: at first all frames have the same weight, later that of older ones decays.

    Args:
        bins: of the features.
    """

    PRIOR_MEAN, PRIOR_DEVIATION, PRIOR_FRAMES = -7.5, 3.7, 100.0
    """Of the log energies of read speech (train-clean-5), over all bins."""
    HORIZON = 2_000.0
    """Frames: 20 s of the usual 10 ms, so that pauses do not turn noise into speech."""

    def __init__(self, bins: int) -> None:
        square = self.PRIOR_MEAN**2 + self.PRIOR_DEVIATION**2
        self._moments = np.repeat([[self.PRIOR_MEAN], [square]], bins, axis=1)
        self._weight = self.PRIOR_FRAMES

    def __call__(self, features: Array) -> Array:
        """Return the next frames, ``(frames, bins)``, normalised by the frames up to each."""
        moments = np.stack([features, np.square(features, dtype=np.float64)], axis=1)
        for frame in moments:
            self._weight = min(self._weight + 1.0, self.HORIZON)
            self._moments += (frame - self._moments) / self._weight
            frame[:] = self._moments
        mean, square = moments[:, 0], moments[:, 1]
        deviation = np.sqrt(np.maximum(square - mean**2, LEAST_DEVIATION**2))
        return np.asarray((features - mean) / deviation, np.float32)


class RunningLevel:
    """The level of speech in the frames so far.

    A running mean of the power of frames no more than 10 dB below the running mean of all. A frame
    more than 20 dB above it is an onset: there the level is reset, and the frames before it count
    as background.

    Args:
        horizon: frames, the time constant of the level.

    Attributes:
        power: the level, a mean power; 0 before the first frame.
    """

    def __init__(self, horizon: float) -> None:
        self._horizon = horizon
        self._begin()

    def _begin(self) -> None:
        self.power = self._all = 0.0
        self._frames = self._all_frames = 0.0

    def update(self, power: float) -> bool:
        """Take the power of the next frame; return whether it is an onset."""
        onset = power > self.power * _ONSET
        if onset:
            self._begin()
        self._all_frames = min(self._all_frames + 1.0, self._horizon)
        self._all += (power - self._all) / self._all_frames
        if power >= self._all * _NEAR:
            self._frames = min(self._frames + 1.0, self._horizon)
            self.power += (power - self.power) / self._frames
        return onset


class RunningSpeech:
    """Does what `normalise_speech` does, by the frames so far.

    Mean and deviation are those of the frames within 30 dB of the `RunningLevel` since its last
    onset, among which the prior counts as a second of speech at that level.

    Args:
        bins: of the features.
    """

    PRIOR_MEAN, PRIOR_DEVIATION, PRIOR_FRAMES = -4.6, 2.9, 100.0
    """Of the log energies of speech less the log of its level (train-clean-5), over all bins."""
    HORIZON = 2_000.0
    """Frames: 20 s of the usual 10 ms, the time constant of level, mean and deviation."""

    def __init__(self, bins: int) -> None:
        self._level = RunningLevel(self.HORIZON)
        self._count = 0.0  # frames of speech
        self._moments = np.zeros((2, bins))

    def __call__(self, energies: Array) -> Array:
        """Return the next frames, ``(frames, bins)``, normalised by the frames up to each."""
        if not len(energies):
            return energies
        moments = np.stack([energies, np.square(energies, dtype=np.float64)], axis=1)
        levels, counts = np.empty((2, len(energies)))
        for index, power in enumerate(np.exp(energies).mean(axis=1, dtype=np.float64).tolist()):
            if self._level.update(power):
                self._count = 0.0
            if power >= self._level.power * _ratio(-GATES_DB[-1]):
                self._count = min(self._count + 1.0, self.HORIZON)
                self._moments += (moments[index] - self._moments) / self._count
            moments[index] = self._moments
            levels[index], counts[index] = self._level.power, self._count
        return self._normalised(energies, moments, levels, counts)

    def _normalised(
        self, energies: Array, moments: _Doubles, levels: _Doubles, counts: _Doubles
    ) -> Array:
        prior = self.PRIOR_MEAN + np.log(levels)[:, None]
        share = (counts / (counts + self.PRIOR_FRAMES))[:, None]
        mean = prior + share * (moments[:, 0] - prior)
        prior_square = prior**2 + self.PRIOR_DEVIATION**2
        square = prior_square + share * (moments[:, 1] - prior_square)
        deviation = np.sqrt(np.maximum(square - mean**2, LEAST_DEVIATION**2))
        return np.asarray(np.maximum((energies - mean) / deviation, SILENCE), np.float32)
