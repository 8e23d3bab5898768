"""Validation of arguments, the same for greedy decoding and the beam search."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from plainspeech.arrays import Array
from plainspeech.errors import ConfigurationError, DecodingError

_NAME = "log_probabilities"
_ROUNDING = 0.05  # in the sum of a frame: a float16 near the logarithm of 1/2000 is off by 0.4 %
_SAMPLES = 16


class OneUtterance:
    """A stream, which ends once: the base of what decoders return from ``stream``."""

    _finished = False

    def _require_unfinished(self) -> None:
        """Raise DecodingError where the stream is finished."""
        if self._finished:
            raise DecodingError("the stream is finished; begin another for more audio")

    def _finish(self) -> None:
        """Mark the stream as finished; raise DecodingError where it is already."""
        self._require_unfinished()
        self._finished = True


def own_columns(values: npt.ArrayLike, columns: slice | None) -> npt.ArrayLike:
    """Return the ``columns`` of ``values`` that a decoder decodes; None for all."""
    if columns is None:
        return values
    try:
        given = np.asarray(values)
    except (ValueError, TypeError):  # rows of different lengths, which are refused later
        return values
    return given[:, columns] if given.ndim == 2 else given


def matrix(values: npt.ArrayLike, name: str, columns: int) -> npt.NDArray[Any]:
    """Return ``values`` as an array of floats, of any precision.

    Args:
        values: an array, or nested lists.
        name: of the argument, for messages.
        columns: how many there must be: the symbols and the blank.

    Raises:
        DecodingError: the shape is not ``(frames, columns)``, or the type is not a float.
    """
    try:
        given: npt.NDArray[Any] = np.asarray(values)
    except (ValueError, TypeError) as error:  # rows of different lengths
        raise DecodingError(f"{name} are not an array (frames, {columns}): {error}") from error
    if given.ndim != 2 or given.shape[1] != columns:
        raise DecodingError(
            f"{name} have the shape {given.shape}; "
            f"the alphabet, its blank included, needs (frames, {columns})"
        )
    if given.dtype.kind != "f":
        raise DecodingError(f"{name} are of type {given.dtype}; they must be floats")
    return given


def validated(log_probabilities: npt.ArrayLike, symbols: int) -> Array:
    """Return ``log_probabilities`` as contiguous float32.

    Arrays of any float type and memory layout are accepted, and nested lists; they are not changed.
    Zero frames are accepted too, as an utterance without speech.

    Args:
        log_probabilities: ``(frames, symbols)``, natural logarithms.
        symbols: how many there must be, the blank included.

    Raises:
        DecodingError: the shape or the type is another, or they are no log-probabilities.
    """
    given = matrix(log_probabilities, _NAME, symbols)
    with np.errstate(over="ignore"):  # of what is too large for float32, which is refused below
        rows = np.require(given, np.float32, ["C", "W", "A"])
    if len(rows):
        _check_values(rows)
    return rows


def impossible_frame_error(frame: int) -> DecodingError:
    """Return the error for a frame in which the probability of every symbol is 0."""
    return DecodingError(f"{_NAME}: the probabilities of all symbols are 0 in frame {frame}")


def require_count(name: str, value: object) -> int:
    """Return ``value``, the argument ``name``, which must be a whole number above 0.

    Raises:
        ConfigurationError: it is not.
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise ConfigurationError(f"{name} is {value!r}; it must be a whole number, 1 or above")
    return int(value)


def require_frame_seconds(value: object) -> float:
    """Return ``value``, seconds from one frame to the next, which must be finite and above 0.

    Raises:
        ConfigurationError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < math.inf:
        raise ConfigurationError(f"frame_seconds is {value!r}; it must be above 0")
    return float(value)


def _check_values(rows: Array) -> None:
    highest = rows.max()
    if not highest < np.inf:  # NaN included
        frame = int(np.flatnonzero(~(rows < np.inf).all(axis=1))[0])
        raise DecodingError(f"{_NAME}: frame {frame} has NaN or +inf")
    samples = rows[:: max(1, len(rows) // _SAMPLES)]
    with np.errstate(over="ignore"):
        sums = np.exp(samples, dtype=np.float64).sum(axis=1)
    wrong = np.abs(sums - 1) > _ROUNDING
    if highest < _ROUNDING and not wrong.any(where=sums > 0):
        return
    if samples.min() >= 0 and np.allclose(samples.sum(axis=1), 1, atol=_ROUNDING):
        raise DecodingError(f"{_NAME} are probabilities; pass their logarithm")
    raise DecodingError(
        f"{_NAME} are not natural log-probabilities: those of a frame must be at most 0 and their "
        f"exponentials must sum to 1; apply log-softmax to the model's outputs"
    )
