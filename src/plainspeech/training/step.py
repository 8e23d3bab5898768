"""The parts of one training step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor, nn

from plainspeech.data.loading import Batch
from plainspeech.errors import PlainspeechError
from plainspeech.model.base import AcousticModel
from plainspeech.model.ctc import ctc_loss
from plainspeech.training.recipe import Optimisation


@dataclass(frozen=True)
class TensorBatch:
    """A batch as tensors on the device that trains; shapes as in `Batch`."""

    features: Tensor
    lengths: Tensor
    targets: Tensor
    target_lengths: Tensor

    @classmethod
    def of(cls, batch: Batch, device: torch.device) -> TensorBatch:
        """Move ``batch`` to ``device``."""
        arrays = (batch.features, batch.lengths, batch.targets, batch.target_lengths)
        return cls(*(torch.from_numpy(array).to(device) for array in arrays))


def batch_loss(
    model: AcousticModel, batch: TensorBatch, intermediate_weight: float
) -> tuple[Tensor, Tensor]:
    """Return the loss to minimise and the CTC loss of each utterance at the model's output.

    The loss is in nats for each target symbol, so that long and short batches weigh alike; it is
    (1 - w) CTC + w intermediate CTC for a model with an intermediate head.
    """
    *inner, output = model.heads(batch.features, batch.lengths)
    lengths = model.output_lengths(batch.lengths)
    symbols = batch.target_lengths.sum()
    utterance_losses = ctc_loss(output, lengths, batch.targets, batch.target_lengths)
    loss = utterance_losses.sum() / symbols
    if inner:
        inner_losses = [ctc_loss(h, lengths, batch.targets, batch.target_lengths) for h in inner]
        inner_loss = torch.stack(inner_losses).mean(0).sum() / symbols
        loss = torch.lerp(loss, inner_loss, intermediate_weight)
    return loss, utterance_losses.detach()


def refuse_infinite_loss(losses: Tensor, batch: Batch) -> None:
    """Stop at a loss that is not a number, naming the utterances that are at fault.

    Args:
        losses: ``(batch,)``, of each utterance.
        batch: that they are of.
    """
    if bool(torch.isfinite(losses).all()):
        return
    bad = [
        f"{utterance.id} ({loss:g})"
        for utterance, loss in zip(batch.utterances, losses.tolist(), strict=True)
        if not math.isfinite(loss)
    ]
    _refuse(f"loss is not finite for {', '.join(bad)}", batch)


def refuse_infinite_gradient(norm: Tensor, batch: Batch) -> None:
    """Stop at a gradient whose ``norm`` is not a number, naming the utterances of its batch."""
    if not bool(torch.isfinite(norm)):
        _refuse("gradient is not finite", batch)


def _refuse(what: str, batch: Batch) -> NoReturn:
    raise PlainspeechError(
        f"the {what}; the batch was {', '.join(u.id for u in batch.utterances)}; "
        f"look at these with 'plainspeech data check', or lower optimisation.learning_rate"
    )


def make_optimiser(model: nn.Module, settings: Optimisation) -> torch.optim.AdamW:
    """Return AdamW with weight decay on matrices and kernels only."""
    weights = list(model.parameters())
    groups = [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), fused=True)
