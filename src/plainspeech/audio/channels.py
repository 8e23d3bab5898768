"""One channel of several: their mean where they agree, the loudest where they do not."""

from __future__ import annotations

import numpy as np

from plainspeech.arrays import Array

_SILENCE = 1e-12  # energy of what is digital silence, but for rounding: -120 dB
_KEPT = 0.5  # of the loudest channel's energy: below it, the mean has lost what was said


class Downmix:
    """Takes a recording block by block, and gives one channel.

    The mean of the channels is best where all of them heard the same: noise of their own averages
    out. Where one is the other inverted, it is silence, and where only one heard the speaker, it is
    quieter and noisier than that one. So a block is the mean where that has at least half of the
    energy of the loudest channel, and the loudest channel elsewhere; which one that is changes only
    where another has twice its energy. Speakers with a channel each are thus heard in turn.
    """

    def __init__(self) -> None:
        self._last = 0

    def __call__(self, block: Array) -> Array:
        """Return one channel.

        Args:
            block: ``(samples, channels)``, the next of the recording.

        Returns:
            ``(samples,)``.
        """
        if block.shape[1] == 1:
            return np.ascontiguousarray(block[:, 0])
        mean = block.mean(axis=1)
        energies = block.var(axis=0, dtype=np.float64)
        loudest = int(energies.argmax())
        if np.var(mean, dtype=np.float64) + _SILENCE >= _KEPT * energies[loudest]:
            return np.asarray(mean, np.float32)
        last = min(self._last, block.shape[1] - 1)
        self._last = last if energies[last] >= _KEPT * energies[loudest] else loudest
        return np.ascontiguousarray(block[:, self._last])
