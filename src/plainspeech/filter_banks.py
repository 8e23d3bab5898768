"""Log-mel filter banks as Kaldi has them, in NumPy, many windows at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Array = npt.NDArray[np.float32]

PRE_EMPHASIS = np.float32(0.97)
LEAST_ENERGY = np.finfo(np.float32).eps
"""Whose logarithm stands for that of silence."""

_BLOCK = 256  # windows that are computed together; their spectra stay in a core's cache


def mel(hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return ``hz`` on the mel scale that Kaldi and HTK use."""
    return np.asarray(1127.0 * np.log1p(np.asarray(hz, dtype=np.float64) / 700.0))


class FilterBank:
    """Logarithms of the energies of windows in triangular bands on the mel scale.

    What it gives for a window does not depend on the windows beside it, to the bit: neither the
    transforms nor the sums of one are mixed with those of another, as a matrix product's are.

    Args:
        sample_rate: Hz.
        window: samples of a window (Povey's), zero-padded to a power of two.
        hop: samples from one window to the next.
        bins: filters.
        low_hz: lower edge of the first.
        high_hz: upper edge of the last.
    """

    def __init__(
        self, sample_rate: int, window: int, hop: int, bins: int, low_hz: float, high_hz: float
    ) -> None:
        self.window, self.hop, self.bins = window, hop, bins
        phase = 2 * np.pi * np.arange(window) / (window - 1)
        self._shape = ((0.5 - 0.5 * np.cos(phase)) ** 0.85).astype(np.float32)
        self._fft = 1 << (window - 1).bit_length()
        # Every frequency lies between two neighbouring edges: on the falling side of one filter
        # and on the rising side of the next.
        edges = np.linspace(mel(low_hz), mel(high_hz), bins + 2)
        places = mel(np.arange(self._fft // 2) * sample_rate / self._fft)
        gaps = np.searchsorted(edges, places) - 1
        inside = np.flatnonzero((gaps >= 0) & (gaps <= bins))
        self._band = slice(inside[0], inside[-1] + 1)
        places, gaps = places[self._band], gaps[self._band]
        rising = (places - edges[gaps]) / (edges[gaps + 1] - edges[gaps])
        self._rising = rising.astype(np.float32)[:, None]
        self._falling = (1 - rising).astype(np.float32)[:, None]
        self._starts = np.flatnonzero(np.diff(gaps, prepend=-1))
        self._gaps = gaps[self._starts]

    def __call__(self, samples: Array) -> Array:
        """Return ``(windows, bins)`` for all whole windows in ``samples``, a hop apart."""
        if len(samples) < self.window:
            return np.empty((0, self.bins), np.float32)
        windows = sliding_window_view(samples, self.window)[:: self.hop]
        energies = np.empty((len(windows), self.bins), np.float32)
        for start in range(0, len(windows), _BLOCK):
            block = slice(start, start + _BLOCK)
            energies[block] = self._energies(self._power(windows[block]))
        return np.log(np.maximum(energies, LEAST_ENERGY))

    def _power(self, windows: Array) -> Array:
        """Return ``(frequencies, windows)``, the power spectra within the band."""
        centred = windows - windows.mean(axis=1, keepdims=True)
        emphasised = np.empty_like(centred)
        emphasised[:, 0] = centred[:, 0] * (1 - PRE_EMPHASIS)
        emphasised[:, 1:] = centred[:, 1:] - PRE_EMPHASIS * centred[:, :-1]
        emphasised *= self._shape
        spectra = np.fft.rfft(emphasised, self._fft)[:, self._band]
        return np.ascontiguousarray((spectra.real**2 + spectra.imag**2).T, np.float32)

    def _energies(self, power: Array) -> Array:
        """Return ``(windows, bins)``, the energies of the filters."""
        # The gap above edge g is the rising side of filter g, in row g + 1, and the falling side
        # of filter g - 1. There is a row too many at either end.
        energies = np.zeros((self.bins + 2, power.shape[1]), np.float32)
        energies[self._gaps + 1] = np.add.reduceat(power * self._rising, self._starts)
        energies[self._gaps] += np.add.reduceat(power * self._falling, self._starts)
        return energies[1:-1].T


class Framing:
    """A filter bank over a waveform that arrives in pieces; cuts make no difference.

    A window is centred on every hop, and the edges of the waveform are mirrored, so that the number
    of frames depends on the duration alone.

    Args:
        bank: for the windows.
    """

    def __init__(self, bank: FilterBank) -> None:
        self._bank = bank
        self._samples = np.empty(0, np.float32)
        self._lead = bank.window // 2 - bank.hop // 2  # mirrored, or skipped where it is below 0
        self._next = -self._lead  # where in the samples that are kept the next window starts
        self._count = self._frames = 0

    def feed(self, samples: Array) -> Array:
        """Return the frames, ``(frames, bins)``, that ``samples``, the next, complete."""
        self._samples = np.concatenate([self._samples, samples])
        self._count += len(samples)
        if len(self._samples) < self._next + self._bank.window:
            return np.empty((0, self._bank.bins), np.float32)
        return self._ready()

    def finish(self) -> Array:
        """Return the frames of the end, whose windows reach beyond it; nothing may follow."""
        hop = self._bank.hop
        left = (self._count + hop // 2) // hop - self._frames
        if not left:
            return np.empty((0, self._bank.bins), np.float32)
        missing = self._next + (left - 1) * hop + self._bank.window - len(self._samples)
        self._samples = np.pad(self._samples, (0, missing), mode="symmetric")
        return self._ready()

    def _ready(self) -> Array:
        if self._next < 0:
            self._samples = np.pad(self._samples, (-self._next, 0), mode="symmetric")
            self._next = 0
        features = self._bank(self._samples[self._next :])
        self._frames += len(features)
        self._next += len(features) * self._bank.hop
        # As much as the end may have to mirror is kept.
        done = min(max(0, self._next - self._bank.window), len(self._samples))
        self._samples, self._next = self._samples[done:], self._next - done
        return features
