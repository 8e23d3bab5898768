"""What a decoder takes: checked, and made what compiled code reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from plainspeech.arrays import Array
from plainspeech.errors import PlainspeechError

_NAME = "log_probabilities"
_ROUNDING = 0.05  # in the sum of a frame: a float16 near the logarithm of 1/2000 is off by 0.4 %
_SAMPLES = 16


def validated(log_probabilities: npt.ArrayLike, symbols: int) -> Array:
    """Return ``log_probabilities`` as contiguous float32.

    Arrays of any float type and memory layout are taken; they are not changed.

    Args:
        log_probabilities: ``(frames, symbols)``, natural logarithms.
        symbols: how many there must be, the blank included.

    Raises:
        PlainspeechError: the shape or the type is another, or they are no log-probabilities.
    """
    given: npt.NDArray[Any] = np.asarray(log_probabilities)
    if given.ndim != 2 or given.shape[1] != symbols:
        raise PlainspeechError(
            f"{_NAME} have the shape {given.shape}; "
            f"the alphabet, its blank included, needs (frames, {symbols})"
        )
    if given.dtype.kind != "f":
        raise PlainspeechError(f"{_NAME} are of type {given.dtype}; they must be floats")
    rows = np.require(given, np.float32, ["C", "W", "A"])
    if len(rows):
        _check_values(rows)
    return rows


def require_frames(rows: Array) -> Array:
    """Return ``rows``; raise PlainspeechError where there are none."""
    if not len(rows):
        raise PlainspeechError(f"{_NAME} have no frames")
    return rows


def impossible_frame_error(frame: int) -> PlainspeechError:
    """Return the error for a frame in which everything is impossible."""
    return PlainspeechError(f"{_NAME}: frame {frame} gives no symbol any probability")


def _check_values(rows: Array) -> None:
    highest = rows.max()
    if not highest < np.inf:  # NaN included
        frame = int(np.flatnonzero(~(rows < np.inf).all(axis=1))[0])
        raise PlainspeechError(f"{_NAME}: frame {frame} has NaN or +inf")
    samples = rows[:: max(1, len(rows) // _SAMPLES)]
    with np.errstate(over="ignore"):
        sums = np.exp(samples, dtype=np.float64).sum(axis=1)
    wrong = np.abs(sums - 1) > _ROUNDING
    if highest < _ROUNDING and not wrong.any(where=sums > 0):
        return
    if samples.min() >= 0 and np.allclose(samples.sum(axis=1), 1, atol=_ROUNDING):
        raise PlainspeechError(f"{_NAME} are probabilities; pass their logarithm")
    raise PlainspeechError(
        f"{_NAME} are no natural log-probabilities: those of a frame must be at most 0 and their "
        f"exponentials sum to 1; apply log-softmax to the model's outputs"
    )
