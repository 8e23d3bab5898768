"""Downmixing: the mean of the channels where they agree, elsewhere the one with the speech."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from plainspeech.arrays import Array
from plainspeech.errors import ConfigurationError, nearest

Channels = Literal["mixed", "separate"]
"""What becomes of the channels of a recording: one, or each is transcribed by itself."""

_SILENCE = 1e-12  # energy of digital silence, with rounding: -120 dB
_KEPT = 0.5  # of the energy of the channel with the speech; a mean with less has cancelled it
# Correlations: channels agree from the first on, and until they fall below the second. Independent
# noise as loud as the signal that both recorded leaves 0.5.
_AGREE, _DISAGREE = 0.4, 0.1
_MEMORY = 5.0  # seconds: time constant of the running energies, so that quiet blocks weigh little
_FRAME = 0.025  # seconds
_HISTORY = 200  # frames: 5 s, in which every speaker pauses
_STEADY = 0.2  # quantile of the energies of frames that is taken for steady noise
_ABOVE = 4.0  # times the energy of the steady noise, which its fluctuations do not reach

_Energies = npt.NDArray[np.float64]


def validated_channels(name: str) -> Channels:
    """Return ``name`` as one of `Channels`.

    Raises:
        ConfigurationError: it is neither.
    """
    for known in get_args(Channels):
        if name == known:
            return known  # type: ignore[no-any-return]
    raise ConfigurationError(f"unknown channels {name!r}; {nearest(name, get_args(Channels))}")


def mixed(blocks: Iterable[Array], rate: int) -> Iterator[Array]:
    """Yield one channel by a `Downmix` that has analysed the first seconds before it begins.

    Args:
        blocks: ``(samples, channels)`` each, at least a sample.
        rate: Hz.
    """
    downmix, ahead, samples = Downmix(rate), deque[Array](), 0
    following = iter(blocks)
    for block in following:
        ahead.append(block)
        samples += len(block)
        downmix(block)
        if block.shape[1] == 1 or samples >= _MEMORY * rate:
            break
    while ahead:
        yield downmix(ahead.popleft())
    yield from map(downmix, following)


class Downmix:
    """Mixes the channels of a recording to one, block by block.

    The mean of the channels is best where all of them recorded the same signal at the same time:
    independent noise averages out. Where one is the other inverted, the mean is silence; where one
    is delayed, the mean is a comb filter; and where only one recorded the speaker, the mean is
    quieter and noisier than that one. So a block is the mean where the channels have been
    correlated over the last seconds, and one of them elsewhere: the one with most energy above its
    steady noise, so that hum and hiss are not chosen over speech, or the loudest where there is
    nothing but steady noise. That choice changes only where another channel has twice the energy,
    since changes cost words. Where speakers have a channel each, the output switches between them;
    `plainspeech.audio.opened` keeps channels apart where all of them matter.

    Args:
        rate: Hz.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._frame = max(1, round(_FRAME * rate))
        self._steady: _Energies = np.empty((0, 0))  # energies of the last frames, in each channel
        self._recent: _Energies = np.empty(0)  # energies of the mean and of each channel
        self._agreed = False
        self._last = 0
        self._found = False  # whether there was anything but steady noise

    def __call__(self, block: Array) -> Array:
        """Return one channel.

        Args:
            block: ``(samples, channels)``, the next of the recording; each has as many channels.

        Returns:
            ``(samples,)``.
        """
        if block.shape[1] == 1:
            return np.ascontiguousarray(block[:, 0])
        mean = block.mean(axis=1)
        energies = block.var(axis=0, dtype=np.float64)
        energy = float(np.var(mean, dtype=np.float64))
        chosen = self._channel(block, energies)
        # Both: channels that were correlated so far can be inverted now.
        if self._agree(energy, energies, len(block)) and (
            energy + _SILENCE >= _KEPT * energies[chosen]
        ):
            return np.asarray(mean, np.float32)
        self._last = chosen
        return np.ascontiguousarray(block[:, chosen])

    def _agree(self, mean: float, energies: _Energies, samples: int) -> bool:
        """Whether the channels have been correlated; the energies are those of the block."""
        new = samples * np.array([mean, *energies])
        if len(self._recent):
            new += self._recent * np.exp(-samples / (_MEMORY * self._rate))
        self._recent = new
        # The variance of a mean is that of uncorrelated channels plus their covariances.
        apart = new[1:].sum() / len(energies) ** 2
        alike = np.sqrt(new[1:]).mean() ** 2
        self._agreed = bool(
            new[0] - apart >= (_DISAGREE if self._agreed else _AGREE) * (alike - apart)
        )
        return self._agreed

    def _channel(self, block: Array, energies: _Energies) -> int:
        """Return the channel with the speech."""
        loud = self._above_noise(block)
        if loud.max() > _SILENCE:
            self._found = True
        elif self._found:
            return self._last
        else:
            loud = energies
        best = int(loud.argmax())
        return self._last if loud[self._last] >= _KEPT * loud[best] else best

    def _above_noise(self, block: Array) -> _Energies:
        """Return the mean energy of each channel of ``block`` above its steady noise."""
        whole = len(block) // self._frame
        frames = block[: whole * self._frame].reshape(whole, self._frame, block.shape[1])
        energies = frames.var(axis=1, dtype=np.float64)
        before = self._steady.reshape(-1, block.shape[1])
        self._steady = np.concatenate([before, energies])[-_HISTORY:]
        if not whole:
            return np.zeros(block.shape[1])
        steady = np.quantile(self._steady, _STEADY, axis=0)
        above: _Energies = np.where(energies > _ABOVE * steady, energies, 0.0).mean(axis=0)
        return above
