"""One channel of several: their mean where they agree, the one with the speech elsewhere."""

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

_SILENCE = 1e-12  # energy of what is digital silence, but for rounding: -120 dB
_KEPT = 0.5  # of the energy of the channel with the speech: below it, the mean has lost that
# Correlations: from the first on channels agree, below the second they do not any more. Noise of
# their own as loud as what both heard leaves 0.5.
_AGREE, _DISAGREE = 0.4, 0.1
_MEMORY = 5.0  # seconds in which what was heard counts for 1 / e, so that quiet blocks say little
_FRAME = 0.025  # seconds
_HISTORY = 200  # frames; 5 s, in which everybody pauses
_STEADY = 0.2  # quantile of the energies of frames that is taken for steady noise
_ABOVE = 4.0  # times the steady noise, beyond which energy is no fluctuation of it

_Energies = npt.NDArray[np.float64]


def validated_channels(name: str) -> Channels:
    """Return ``name`` as one of `Channels`.

    Raises:
        ConfigurationError: it is none of them.
    """
    for known in get_args(Channels):
        if name == known:
            return known  # type: ignore[no-any-return]
    raise ConfigurationError(f"unknown channels {name!r}; {nearest(name, get_args(Channels))}")


def mixed(blocks: Iterable[Array], rate: int) -> Iterator[Array]:
    """Yield one channel, as `Downmix` makes it of what it has heard of the first seconds already.

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
    """Takes a recording block by block, and gives one channel.

    The mean of the channels is best where all of them heard the same at once: noise of their own
    averages out. Where one is the other inverted, the mean is silence; where one heard the speaker
    later, it is a comb filter; and where only one heard the speaker, it is quieter and noisier than
    that one. So a block is the mean where the channels have been correlated of late, and one of
    them elsewhere: the one with most energy above its own steady noise, so that hum and hiss win
    over no speech, or the loudest where all is steady.
    Which one that is changes only where another has twice as much, since changes cost words.
    Speakers with a channel each are thus heard in turn; `plainspeech.audio.opened` keeps channels
    apart where all of them matter.

    Args:
        rate: Hz.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._frame = max(1, round(_FRAME * rate))
        self._steady: _Energies = np.empty((0, 0))  # energies of the last frames, in each channel
        self._of_late: _Energies = np.empty(0)  # energies of the mean and of each channel
        self._agreed = False
        self._last = 0
        self._found = False  # whether anything but steady noise was heard

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
        # Both: what is the same of late can be inverted now.
        if self._agree(energy, energies, len(block)) and (
            energy + _SILENCE >= _KEPT * energies[chosen]
        ):
            return np.asarray(mean, np.float32)
        self._last = chosen
        return np.ascontiguousarray(block[:, chosen])

    def _agree(self, mean: float, energies: _Energies, samples: int) -> bool:
        """Whether the channels have been much the same of late; energies are of the block."""
        new = samples * np.array([mean, *energies])
        if len(self._of_late):
            new += self._of_late * np.exp(-samples / (_MEMORY * self._rate))
        self._of_late = new
        # The mean has the variance of channels that have nothing in common, and their covariance.
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
