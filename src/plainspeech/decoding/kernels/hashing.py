"""Hashes of texts and of states."""

from __future__ import annotations

from typing import Any

import numpy as np

from plainspeech.decoding.kernels.jit import inlined

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_27, _30, _31 = np.uint64(27), np.uint64(30), np.uint64(31)


@inlined
def hash_mix(value: Any, other: Any) -> Any:
    """Return a hash of two 64-bit numbers (the finaliser of Steele et al.'s SplitMix, 2014)."""
    value = (value ^ np.uint64(other)) + _STEP
    value = (value ^ (value >> _30)) * _FIRST
    value = (value ^ (value >> _27)) * _SECOND
    return value ^ (value >> _31)
