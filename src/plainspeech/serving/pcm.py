"""Decodes 16-bit PCM that arrives in messages of any length."""

from __future__ import annotations

import numpy as np
import soxr

from plainspeech.arrays import Array


class PcmReader:
    """Decodes and resamples 16-bit little-endian mono PCM.

    Args:
        rate: Hz, of the data.
        wanted: Hz, of the waveform.
        least: samples at ``wanted`` Hz that are worth processing; fewer are held back.
    """

    def __init__(self, rate: int, wanted: int, least: int) -> None:
        self._bytes = bytearray()
        self._least = 2 * max(1, least * rate // wanted)
        self._stream = (
            None if rate == wanted else soxr.ResampleStream(rate, wanted, 1, dtype="float32")
        )

    def feed(self, data: bytes) -> bool:
        """Take ``data``; return whether there is enough to `take`."""
        self._bytes += data
        return len(self._bytes) >= self._least

    def take(self, last: bool = False) -> Array:
        """Return the waveform since the last call; half a sample is held back, or lost at the end.

        Args:
            last: whether no more data will follow.
        """
        whole = len(self._bytes) & ~1
        samples = np.frombuffer(bytes(self._bytes[:whole]), "<i2")
        del self._bytes[:whole]
        waveform: Array = np.multiply(samples, 1 / 32768, dtype=np.float32)
        if self._stream is None:
            return waveform
        resampled: Array = self._stream.resample_chunk(waveform, last=last)
        return resampled
