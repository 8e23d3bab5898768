"""How far speech stands out from the noise around it."""

from __future__ import annotations

import numpy as np

from plainspeech.arrays import Array

_FRAME_SECONDS = 0.02
_NOISE, _SPEECH = 0.15, 0.95  # quantiles of the levels of frames
_LEAST = 1e-10  # power below a step of 16 bits; digital silence has none


def signal_to_noise(waveform: Array, rate: int) -> float:
    """Return an estimate of the signal-to-noise ratio of a recording of speech, in decibels.

    The level that 95 % of its frames of 20 ms lie below is that of the speech, the one that 15 %
    lie below that of the noise, for speakers pause. Without any pause it is too low.

    Args:
        waveform: ``(samples,)``.
        rate: Hz.

    Returns:
        Decibels; 0 for a recording shorter than two frames.
    """
    length = round(_FRAME_SECONDS * rate)
    frames = waveform[: len(waveform) // length * length].reshape(-1, length)
    if len(frames) < 2:
        return 0.0
    levels = 10 * np.log10(np.square(frames, dtype=np.float64).mean(axis=1) + _LEAST)
    noise, speech = np.quantile(levels, [_NOISE, _SPEECH])
    return float(speech - noise)
