"""What changes in the course of a run: weights, their average, the optimiser, and how far it is.

It goes into checkpoints and comes back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from plainspeech.alphabet import Alphabet
from plainspeech.model.base import AcousticModel
from plainspeech.model.presets import Preset
from plainspeech.pronunciations import Pronunciations
from plainspeech.training.checkpoint import Checkpoint, Progress
from plainspeech.training.recipe import Optimisation, Recipe
from plainspeech.training.transfer import with_alphabet, with_phones


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


@dataclass
class RunState:
    """A run at one moment, between two steps.

    Attributes:
        model: in training.
        optimiser: of its weights.
        average: of its weights over the steps.
        progress: how far the run is.
        start: the weights that the run began with, where `descend` decays towards them.
    """

    model: AcousticModel
    optimiser: torch.optim.Optimizer
    average: WeightAverage
    progress: Progress = field(default_factory=Progress)
    start: Sequence[Tensor] = ()

    @classmethod
    def fresh(
        cls,
        recipe: Recipe,
        preset: Preset,
        alphabet: Alphabet,
        device: torch.device,
        initial: Checkpoint | None = None,
        pronunciations: Pronunciations | None = None,
    ) -> RunState:
        """Return the start of a run, which the recipe's seed and initial weights determine.

        Args:
            recipe: of the run.
            preset: that it names.
            alphabet: of the model.
            device: where to compute.
            initial: whose averaged weights to start from, but for the outputs of symbols that it
                does not write; None starts from random weights.
            pronunciations: whose phones the model learns, too; None for letters alone.

        Raises:
            ModelError: the initial weights are of another model.
        """
        torch.manual_seed(recipe.seed)
        phones = pronunciations.phones if pronunciations else ()
        model = preset.build(alphabet.size, pronunciations.size if pronunciations else 0).to(device)
        if initial and recipe.initial:
            fitted = with_phones(with_alphabet(initial, alphabet, model), phones, model)
            fitted.give_average(model, recipe.initial)
        settings = recipe.optimisation
        weights = model.parameters() if settings.start_decay else ()
        return cls(
            model,
            make_optimiser(model, settings),
            WeightAverage(model, settings.average_decay),
            start=[weight.detach().clone() for weight in weights],
        )

    def descend(self, clip_norm: float, rate: float, start_decay: float = 0.0) -> Tensor:
        """Take one step down the gradient unless that is not finite.

        Args:
            clip_norm: the longest gradient; a longer one is shortened to it.
            rate: of learning.
            start_decay: share of the way to ``start``, at a rate of 1.

        Returns:
            The norm of the gradient before clipping.
        """
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), clip_norm)
        # To ask a GPU would be to wait for it; what it makes of such a gradient is never saved.
        if norm.is_cuda or torch.isfinite(norm):
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            self.optimiser.step()
            if self.start:
                self._decay(rate * start_decay)
            self.progress.step += 1
            self.progress.batch += 1
            self.average.update(self.model, self.progress.step)
        return norm

    @torch.no_grad()
    def _decay(self, share: float) -> None:
        """Move the weights by ``share`` of the way to those of the start."""
        torch._foreach_lerp_(list(self.model.parameters()), list(self.start), share)

    def checkpoint(self, run: Mapping[str, Any]) -> Checkpoint:
        """Return all that it takes to resume here; the tensors are not copied."""
        weights = {f"model.{name}": t for name, t in self.model.state_dict().items()}
        averaged = self.averaged(run)
        tensors = weights | averaged.tensors | _moments(self.optimiser, self.model)
        return Checkpoint(tensors, self.progress, dict(run))

    def averaged(self, run: Mapping[str, Any]) -> Checkpoint:
        """Return the averaged weights alone, to export; the tensors are not copied."""
        tensors = {f"average.{name}": t for name, t in self.average.weights.items()}
        return Checkpoint(tensors, self.progress, dict(run))

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take up what `checkpoint` returned.

        Raises:
            RuntimeError, KeyError: it is of a model with other weights.
        """
        self.model.load_state_dict(checkpoint.part("model"))
        self.average.restore(checkpoint.part("average"))
        _restore_moments(self.optimiser, self.model, checkpoint.part("optimiser"))
        self.progress = checkpoint.progress


def _moments(optimiser: torch.optim.Optimizer, model: torch.nn.Module) -> dict[str, Tensor]:
    """Return the optimiser's state by the names of the weights it belongs to."""
    return {
        f"optimiser.{kind}.{name}": value
        for name, weight in model.named_parameters()
        for kind, value in optimiser.state.get(weight, {}).items()
    }


def _restore_moments(
    optimiser: torch.optim.Optimizer, model: torch.nn.Module, moments: Mapping[str, Tensor]
) -> None:
    """Put back what `_moments` took out."""
    weights = dict(model.named_parameters())
    for key, value in moments.items():
        kind, name = key.split(".", 1)
        # The fused AdamW keeps even its step counter where its weight is.
        optimiser.state[weights[name]][kind] = value.to(weights[name].device)
