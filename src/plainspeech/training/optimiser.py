"""How weights change: the optimiser, its learning rate, and their average over the steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from plainspeech.training.recipe import Optimisation


class WeightAverage:
    """Exponential moving average of a model's weights (Polyak and Juditsky, 1992).

    The average generalises better than the last step's weights and costs one pass over them.

    Args:
        model: whose present weights start the average.
        decay: share of the old average that is kept at each step; early on less is kept, so that
            the average does not drag the random start along.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = _copy(model)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move the average towards the weights of ``model`` after step ``step``, from 1."""
        keep = min(self.decay, step / (step + 9.0))
        present = model.state_dict()
        torch._foreach_lerp_(
            list(self.weights.values()), [present[name] for name in self.weights], 1.0 - keep
        )

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        """Give ``model`` the average for as long as the block lasts; it gets its own back."""
        own = _copy(model)
        model.load_state_dict(self.weights)
        try:
            yield
        finally:
            model.load_state_dict(own)

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Take up an average that was saved, by the names of the weights."""
        for name, average in self.weights.items():
            average.copy_(weights[name])


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in model.state_dict().items()}


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


def make_optimiser(model: nn.Module, settings: Optimisation) -> torch.optim.AdamW:
    """Return AdamW with weight decay on matrices and kernels only."""
    weights = list(model.parameters())
    groups = [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), fused=True)
