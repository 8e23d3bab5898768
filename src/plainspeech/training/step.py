"""The parts of one training step: a batch on the device and its loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.nn import functional

from plainspeech.data.manifest import Utterance
from plainspeech.errors import DataError
from plainspeech.model.base import AcousticModel
from plainspeech.model.padding import mask
from plainspeech.training.crf import Competition, log_partition


@dataclass(frozen=True)
class TensorBatch:
    """Features and targets as the model and the loss take them.

    Attributes:
        features: ``(views * batch, frames, bins)``: every utterance, then every utterance again in
            another augmentation, view by view.
        lengths: ``(views * batch,)`` frames, on the CPU.
        targets: ``(views * batch, symbols)`` ids.
        target_lengths: ``(views * batch,)``, on the CPU.
        phones: ``(views * batch, phones)`` ids; no columns for a model that learns letters alone.
        phone_lengths: ``(views * batch,)``, on the CPU; 0 where a word has no pronunciation.
        views: augmentations of each utterance.
        taught: ``(batch, output frames, symbols)`` log-probabilities of a teacher over letters and,
            if it teaches them, over phones, of every utterance before it is corrupted; none without
            a teacher.
    """

    features: Tensor
    lengths: Tensor
    targets: Tensor
    target_lengths: Tensor
    phones: Tensor
    phone_lengths: Tensor
    views: int = 1
    taught: tuple[Tensor, ...] = ()


def ctc_loss(
    log_probabilities: Tensor,
    lengths: Tensor,
    targets: Tensor,
    target_lengths: Tensor,
    zero_infinity: bool = False,
) -> Tensor:
    """Return the negative log-likelihood of each utterance's targets, ``(batch,)``, in nats.

    Connectionist temporal classification (Graves et al., ICML 2006). The blank is the last
    symbol. Log-probabilities are float32 and targets int64, out of autocast's reach: with other
    types cuDNN takes over silently, by target length, with another precision. An utterance that
    cannot be aligned gives infinity, which is not hidden: see ``plainspeech data check``.

    Args:
        log_probabilities: ``(batch, frames, symbols)``.
        lengths: ``(batch,)`` frames of each utterance; on the CPU, where torch wants them, as
            ``target_lengths``: taken from a GPU, they would wait for all that it has to do.
        targets: ``(batch, longest)`` ids, padded with anything.
        target_lengths: ``(batch,)``.
        zero_infinity: give 0 instead, and no gradient, for what cannot be aligned.
    """
    with torch.autocast(log_probabilities.device.type, enabled=False):
        return functional.ctc_loss(
            log_probabilities.float().transpose(0, 1),
            targets.long(),
            lengths.long(),
            target_lengths.long(),
            blank=log_probabilities.shape[-1] - 1,
            reduction="none",
            zero_infinity=zero_infinity,
        )


def batch_loss(
    model: AcousticModel,
    batch: TensorBatch,
    intermediate_weight: float,
    consistency_weight: float = 0.0,
    distillation_weight: float = 0.0,
    symbols: float | None = None,
    *,
    competition: Competition | None = None,
    pronunciation_weight: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Return the loss to minimise and the CTC loss of each row at the model's output.

    The loss is in nats for each target symbol, so that long and short batches weigh alike. It is
    (1 - w) CTC + w intermediate CTC for a model with an intermediate head; of a model that learns
    phones, the phones' share of the whole is ``pronunciation_weight``; with two views, the
    consistency of their outputs besides (`consistency`); with a teacher, what it would have the
    outputs over letters and phones be (`distillation`), each with its share. With a
    ``competition``, CTC at the output that the search takes is CTC-CRF
    (`plainspeech.training.crf`): over phones, if the model learns them.

    Args:
        model: to train.
        batch: whose loss it is, or a part of one.
        intermediate_weight: w.
        consistency_weight: of the consistency.
        distillation_weight: of the distillation.
        symbols: of the targets, in all views, of the whole batch that this is a part of: the losses
            of the parts then add up to the loss of the whole. By default it is the whole.
        competition: what CTC-CRF adds to CTC; None for CTC alone.
        pronunciation_weight: of the phones.
    """
    output, inner, phones = model.heads(batch.features, batch.lengths)
    lengths = model.output_lengths(batch.lengths)
    symbols = float(batch.target_lengths.sum()) if symbols is None else symbols
    losses = ctc_loss(output, lengths, batch.targets, batch.target_lengths)
    loss = losses.sum() / symbols
    if competition and phones is None:
        every = log_partition(output, lengths, competition.model)
        loss = loss + competition.weight * every.sum() / symbols
    if inner:
        inner_losses = [ctc_loss(h, lengths, batch.targets, batch.target_lengths) for h in inner]
        inner_loss = torch.stack(inner_losses).mean(0).sum() / symbols
        loss = torch.lerp(loss, inner_loss, intermediate_weight)
    if phones is not None:
        phone_loss = _phone_losses(phones, lengths, batch, competition).sum() / symbols
        loss = torch.lerp(loss, phone_loss, pronunciation_weight)
    if batch.views == 2 and consistency_weight:
        loss = loss + consistency_weight * 2 * consistency(output, lengths) / symbols
    if batch.taught:
        divergence = distillation(output, batch.taught[0], lengths)
        if phones is not None and len(batch.taught) == 2:
            phone_divergence = distillation(phones, batch.taught[1], lengths)
            divergence = torch.lerp(divergence, phone_divergence, pronunciation_weight)
        loss = loss + distillation_weight * divergence / symbols
    return loss, losses.detach()


def _phone_losses(
    log_probabilities: Tensor, lengths: Tensor, batch: TensorBatch, competition: Competition | None
) -> Tensor:
    """Return the loss of each row's phones, in nats; 0 where they are not known or too many."""
    losses = ctc_loss(
        log_probabilities, lengths, batch.phones, batch.phone_lengths, zero_infinity=True
    )
    known = (batch.phone_lengths > 0).to(losses.device) & (losses > 0)
    if competition:
        every = log_partition(log_probabilities, lengths, competition.model)
        losses = losses + competition.weight * every
    return torch.where(known, losses, 0.0)


class Objective(nn.Module):
    """A model with its loss as one module, whose gradients several processes exchange.

    Args:
        model: to train.
        competition: as `batch_loss` takes it.
        pronunciation_weight: likewise.
    """

    def __init__(
        self,
        model: AcousticModel,
        competition: Competition | None = None,
        pronunciation_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.model = model
        self._competition = competition
        self._pronunciation_weight = pronunciation_weight

    def forward(self, batch: TensorBatch, *weights: float) -> tuple[Tensor, Tensor]:
        """Return what `batch_loss` does, of its further arguments."""
        return batch_loss(
            self.model,
            batch,
            *weights,
            competition=self._competition,
            pronunciation_weight=self._pronunciation_weight,
        )


def consistency(log_probabilities: Tensor, lengths: Tensor) -> Tensor:
    """Return the divergence of the outputs for two views of every utterance, in nats, summed.

    The consistency regularisation of CR-CTC (Yao et al., ICLR 2025): the mean of the two
    Kullback-Leibler divergences between the distributions of each frame, in which each view learns
    from the other and not the other way round.

    Args:
        log_probabilities: ``(2 * batch, frames, symbols)``, the second view after the first.
        lengths: ``(2 * batch,)``, frames of each row.
    """
    there = mask(lengths, log_probabilities.shape[1], log_probabilities.device)[:, :, None]
    first, second = log_probabilities.chunk(2)
    other = torch.cat([second, first]).detach()
    divergence = other.exp() * (other - log_probabilities)
    return 0.5 * (divergence * there).sum()


def distillation(log_probabilities: Tensor, taught: Tensor, lengths: Tensor) -> Tensor:
    """Return how far a student is from its teacher, in nats, summed over the frames.

    The Kullback-Leibler divergence from the teacher's distribution of each frame to the student's
    (Hinton, Vinyals and Dean, 2015, at temperature 1).

    Args:
        log_probabilities: ``(views * batch, frames, symbols)`` of the student, view by view.
        taught: ``(batch, frames, symbols)`` of the teacher.
        lengths: ``(views * batch,)``, frames of each row of the student's.
    """
    there = mask(lengths, log_probabilities.shape[1], log_probabilities.device)[:, :, None]
    taught = taught.repeat(len(log_probabilities) // len(taught), 1, 1)
    return (taught.exp() * (taught - log_probabilities) * there).sum()


def refuse_infinite_loss(losses: Tensor, utterances: Sequence[Utterance]) -> None:
    """Stop at a loss that is not a number, naming the utterances that are at fault.

    Args:
        losses: ``(views * batch,)``, of each utterance, view by view.
        utterances: of the batch.
    """
    if bool(torch.isfinite(losses).all()):
        return
    worst = losses.reshape(-1, len(utterances)).sum(0)
    bad = [
        f"{utterance.id} ({loss:g})"
        for utterance, loss in zip(utterances, worst.tolist(), strict=True)
        if not math.isfinite(loss)
    ]
    _refuse(f"loss is not finite for {', '.join(bad)}", utterances)


def refuse_infinite_gradient(norm: Tensor, utterances: Sequence[Utterance]) -> None:
    """Stop at a gradient whose ``norm`` is not a number, naming the utterances of its batch."""
    if not bool(torch.isfinite(norm)):
        _refuse("gradient is not finite", utterances)


def _refuse(what: str, utterances: Sequence[Utterance]) -> NoReturn:
    raise DataError(
        f"the {what}; the batch was {', '.join(u.id for u in utterances)}; "
        f"look at these with 'plainspeech data check', or lower optimisation.learning_rate"
    )
