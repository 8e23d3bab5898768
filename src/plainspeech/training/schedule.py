"""The learning rate over a run."""

from __future__ import annotations

import math


def learning_rate(peak: float, epoch: float, warmup: float, epochs: float) -> float:
    """Return the rate at ``epoch``, counted in fractions from 0.

    Linear from zero to ``peak`` over the first ``warmup`` epochs, then along a half cosine to zero
    at the last (Loshchilov and Hutter, ICLR 2017). Epochs, not steps, so that the same recipe
    serves corpora of any size.
    """
    if epoch < warmup:
        return peak * epoch / warmup
    progress = min((epoch - warmup) / max(epochs - warmup, 1e-9), 1.0)
    return peak * 0.5 * (1.0 + math.cos(math.pi * progress))
