"""16-bit samples from bytes that arrive in any portions."""

from __future__ import annotations

import numpy as np
import soxr

from plainspeech.arrays import Array


class PcmReader:
    """Makes a waveform of 16-bit little-endian mono PCM, bit by bit.

    Args:
        rate: Hz, of what comes in.
        wanted: Hz, of the waveform.
        portion: samples at ``wanted`` Hz that are worth going on with; fewer are kept back.
    """

    def __init__(self, rate: int, wanted: int, portion: int) -> None:
        self._bytes = bytearray()
        self._least = 2 * max(1, portion * rate // wanted)
        self._stream = (
            None if rate == wanted else soxr.ResampleStream(rate, wanted, 1, dtype="float32")
        )

    def feed(self, portion: bytes) -> bool:
        """Take ``portion``; return whether there is enough to `take`."""
        self._bytes += portion
        return len(self._bytes) >= self._least

    def take(self, last: bool = False) -> Array:
        """Return what has come in since the last time; half a sample waits, or is no more.

        Args:
            last: whether nothing more comes.
        """
        whole = len(self._bytes) & ~1
        samples = np.frombuffer(bytes(self._bytes[:whole]), "<i2")
        del self._bytes[:whole]
        waveform: Array = np.multiply(samples, 1 / 32768, dtype=np.float32)
        if self._stream is None:
            return waveform
        resampled: Array = self._stream.resample_chunk(waveform, last=last)
        return resampled
