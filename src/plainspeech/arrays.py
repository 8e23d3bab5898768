"""The array type of most signatures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
"""Float32 of any shape; docstrings give it: a waveform, features, log-probabilities."""
