"""One set of weights from those of several runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from plainspeech.errors import ConfigurationError, ModelError
from plainspeech.training.checkpoint import PHONES, Checkpoint, Progress, load_weights


def combine(paths: Sequence[Path], shares: Sequence[float] | None = None) -> Checkpoint:
    """Return the combination of the averaged weights of several checkpoints.

    Between the weights of runs that began from the same ones the loss is mostly low, too, and
    their mean errs less than either (model soups; Wortsman et al., ICML 2022). With the shares 1, 1
    and -1, what the second learned beyond the third is added to the first (task arithmetic; Ilharco
    et al., ICLR 2023).

    Args:
        paths: of checkpoints or bundles, two or more of the same symbols and shapes; the first has
            the recipe, and so the preset, of the sum. Without a head over phones in it, those of
            the others do not count.
        shares: of each in the sum; they add up to 1. Equal shares by default.

    Raises:
        ConfigurationError: the shares are too few, too many, or do not add up to 1.
        ModelError: a checkpoint cannot be read, or is of another alphabet, shape or other phones.
    """
    if len(paths) < 2:
        raise ConfigurationError("name two checkpoints or more to combine")
    shares = shares or [1 / len(paths)] * len(paths)
    if len(shares) != len(paths):
        raise ConfigurationError(f"there are {len(paths)} checkpoints and {len(shares)} shares")
    if not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise ConfigurationError(f"the shares add up to {sum(shares):g}; they must add up to 1")
    checkpoints = [load_weights(path) for path in paths]
    sums: dict[str, Tensor] = {}
    for path, checkpoint, share in zip(paths, checkpoints, shares, strict=True):
        if checkpoint.alphabet != checkpoints[0].alphabet:
            raise ModelError(f"{path}: writes another alphabet than {paths[0]}")
        weights = checkpoint.part("average")
        if not checkpoints[0].phones:
            weights = {name: w for name, w in weights.items() if not name.startswith(PHONES)}
        shapes = {name: weight.shape for name, weight in weights.items()}
        if sums and shapes != {name: weight.shape for name, weight in sums.items()}:
            raise ModelError(f"{path}: its weights do not have the shapes of those of {paths[0]}")
        if checkpoints[0].phones not in ((), checkpoint.phones):
            raise ModelError(f"{path}: learned other phones than {paths[0]}")
        for name, weight in weights.items():
            sums[name] = sums.get(name, 0) + share * weight.double()
    run = checkpoints[0].run
    parts = [
        {"share": share, "name": checkpoint.run["recipe"]["name"], **checkpoint.provenance()}
        for checkpoint, share in zip(checkpoints, shares, strict=True)
    ]
    recipe = {**run["recipe"], "change": ""}
    tensors = {f"average.{name}": weight.float() for name, weight in sums.items()}
    return Checkpoint(tensors, Progress(), {**run, "recipe": recipe, "combination_of": parts})
