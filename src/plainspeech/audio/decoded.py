"""Audio as the file decoders return it, and the checks that they share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plainspeech.arrays import Array
from plainspeech.errors import AudioError

BLOCK = 16_384
"""Samples a channel that are decoded at a time; a header can declare any number of them."""

MOST_CHANNELS = 256

_SLACK = 0.2  # seconds; encoders miscount their padding and their last packet
_RATES = (1_000, 1_000_000)  # Hz
_LOUDEST = 1e6  # beyond it the energies of the mel filters leave float32


@dataclass(frozen=True)
class Section:
    """Consecutive audio of one sample rate and one number of channels.

    Attributes:
        rate: Hz.
        blocks: ``(samples, channels)`` float32 each, checked by `check_samples`.
    """

    rate: int
    blocks: Iterator[Array]


@dataclass(frozen=True)
class DecodedAudio:
    """A file that is being decoded.

    Attributes:
        sections: in order; more than one where several files were joined, or the format changes.
        duration: seconds that the header declares; None where it does not say.
    """

    sections: Iterator[Section]
    duration: float | None


def check_rate(name: str, rate: object) -> None:
    """Refuse a sample rate that no recording has."""
    if not (isinstance(rate, (int, float, np.number)) and _RATES[0] <= rate <= _RATES[1]):
        raise AudioError(f"{name}: claims a sample rate of {rate} Hz")


def check_channels(name: str, channels: int) -> None:
    """Refuse a number of channels that no recording has."""
    if not 0 < channels <= MOST_CHANNELS:
        raise AudioError(f"{name}: claims {channels} channels")


def check_samples(name: str, samples: npt.NDArray[np.floating[Any]]) -> None:
    """Refuse samples that features cannot be made of."""
    if not np.all(np.abs(samples) < _LOUDEST):  # also false for NaN
        raise AudioError(
            f"{name}: has samples that are not numbers (NaN, infinite or beyond {_LOUDEST:g})"
        )


def check_complete(name: str, there: float, declared: float | None, rate: int) -> None:
    """Refuse ``there`` frames of the ``declared`` ones, at ``rate`` Hz."""
    if declared is not None and declared - there > _SLACK * rate:
        raise AudioError(
            f"{name}: truncated: its header declares {declared / rate:.1f} s of audio, "
            f"{there / rate:.1f} s can be read; copy it again, or convert what there is with ffmpeg"
        )
