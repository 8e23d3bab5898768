"""Which utterances stand together in which batch, in what order.

A plan is a pure function of the durations, the seed and the epoch, so a run that resumes at batch
k of epoch e needs nothing but k and e.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def plan_epoch(
    durations: Sequence[float], batch_seconds: float, seed: int, epoch: int
) -> list[list[int]]:
    """Return the batches of an epoch as lists of indices into ``durations``.

    Utterances of like duration share a batch, so that little of it is padding; durations are
    jittered by a few percent before they are sorted, so that neighbours change between epochs.
    The first epoch runs from short to long, which CTC learns more easily from (Amodei et al.,
    ICML 2016); later ones are shuffled.

    Args:
        durations: seconds of each utterance.
        batch_seconds: a batch holds at most this much, padding included, but at least one
            utterance.
        seed: of the run.
        epoch: counted from 0.
    """
    random = np.random.default_rng((seed, epoch))
    seconds = np.asarray(durations, np.float64)
    order = np.argsort(seconds * random.uniform(0.95, 1.05, len(seconds)), kind="stable")
    batches: list[list[int]] = []
    longest = 0.0
    for index in order.tolist():
        longest = max(longest, seconds[index])
        if not batches or longest * (len(batches[-1]) + 1) > batch_seconds:
            batches.append([])
            longest = seconds[index]
        batches[-1].append(index)
    if epoch > 0:
        random.shuffle(batches)
    return batches
