"""What CTC-CRF adds to CTC: all texts compete for an utterance, each as probable as it is written.

A network that is trained with CTC alone maximises the probability of each transcript given the
audio; what it knows of spelling counts once more when the search adds a language model. CTC-CRF
(H. Xiang and Z. Ou, "CRF-based Single-stage Acoustic Modeling with CTC Topology", ICASSP 2019)
takes the language model into training: with the CTC alignments ``a`` of a text ``y``, the loss is
``-ln p(y | x)`` for

    p(y | x) = P(y) sum_a prod_t q_t(a_t) / Z(x),
    Z(x) = sum over all y of P(y) sum_a prod_t q_t(a_t),

where ``q_t`` are the network's probabilities in frame ``t`` and ``P`` is an n-gram model of the
alphabet's symbols. So a network learns what sets the audio apart from other texts that a language
model would think as likely: a discriminative criterion, as lattice-free MMI is for hybrid
recognisers (D. Povey et al., Interspeech 2016). The loss is that of CTC plus ``ln Z`` but for a
constant; this module computes ``ln Z`` for a trigram model, exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from plainspeech.alphabet import Alphabet
from plainspeech.pronunciations import Pronunciations


class SymbolModel(NamedTuple):
    """A trigram model of symbols; the id after the last symbol stands for the start of a text.

    Attributes:
        following: ``(symbols + 1, symbols + 1, symbols)``, the probability of a symbol after the
            last one (the first axis) and the one before it (the second).
        ends: ``(symbols + 1, symbols + 1)``, that of the end of the text there.
    """

    following: Tensor
    ends: Tensor

    def to(self, device: torch.device) -> SymbolModel:
        """Return the model on ``device``."""
        return SymbolModel(self.following.to(device), self.ends.to(device))


class Competition(NamedTuple):
    """The texts that compete with each transcript, and how much that weighs.

    Attributes:
        weight: of ``ln Z``, beside CTC.
        model: of the symbols, or of the phones of a model that learns them.
    """

    weight: float
    model: SymbolModel


def estimate_symbol_model(texts: Iterable[Sequence[int]], symbols: int) -> SymbolModel:
    """Return the trigram model of ``texts``, interpolated as Witten and Bell (1991) do.

    No probability is zero: the lowest order is uniform.

    Args:
        texts: ids of the symbols of each.
        symbols: of the alphabet, without the blank.
    """
    start = end = symbols
    outcomes = symbols + 1  # or the end
    counts = torch.zeros((outcomes,) * 3, dtype=torch.float64)
    for text in texts:
        ids = torch.tensor([start, start, *text, end])
        places = (ids[1:-1] * outcomes + ids[:-2]) * outcomes + ids[2:]
        counts.view(-1).index_add_(0, places, torch.ones(len(places), dtype=torch.float64))
    bigrams = counts.sum(1)
    lowest = torch.full((outcomes,), 1.0 / outcomes, dtype=torch.float64)
    unigram = _interpolated(bigrams.sum(0), lowest)
    bigram = _interpolated(bigrams, unigram)
    trigram = _interpolated(counts, bigram[:, None].expand_as(counts)).float()
    return SymbolModel(trigram[..., :end].contiguous(), trigram[..., end].contiguous())


def competing(
    transcripts: Iterable[str],
    alphabet: Alphabet,
    pronunciations: Pronunciations | None,
    weight: float,
    device: torch.device,
) -> Competition:
    """Return the texts that compete with each transcript, modelled on all of them.

    Args:
        transcripts: that are trained on.
        alphabet: that they are written in.
        pronunciations: of their words, if the competition is over phones; a transcript with a word
            that has none is left out.
        weight: of the competition.
        device: for the model of the symbols.
    """
    if pronunciations is None:
        model = estimate_symbol_model(map(alphabet.encode, transcripts), alphabet.blank_id)
    else:
        spoken = filter(None, map(pronunciations.encode, transcripts))
        model = estimate_symbol_model(spoken, pronunciations.size - 1)
    return Competition(weight, model.to(device))


def _interpolated(counts: Tensor, lower: Tensor) -> Tensor:
    """Return probabilities over the last axis: counts, and as much of ``lower`` as is new there."""
    seen = counts.sum(-1, keepdim=True)
    kinds = (counts > 0).sum(-1, keepdim=True)
    return torch.where(seen > 0, (counts + kinds * lower) / (seen + kinds).clamp(min=1), lower)


def log_partition(log_probabilities: Tensor, lengths: Tensor, model: SymbolModel) -> Tensor:
    """Return ``ln Z`` of each utterance, ``(batch,)``, differentiable.

    By the forward-backward algorithm over the last two symbols and whether the frame before was
    blank, in linear probabilities that are scaled in each frame.

    Args:
        log_probabilities: ``(batch, frames, symbols + 1)``, natural logarithms, the blank last.
        lengths: ``(batch,)`` frames of each, at least one.
        model: of the symbols, on the same device.
    """
    result: Tensor = _LogPartition.apply(  # type: ignore[no-untyped-call]
        log_probabilities, lengths, model
    )
    return result


class _LogPartition(torch.autograd.Function):
    """`log_partition`, whose gradient is the posterior probability of each symbol in each frame."""

    @staticmethod
    def forward(
        context: Any, log_probabilities: Tensor, lengths: Tensor, model: SymbolModel
    ) -> Tensor:
        with torch.no_grad():
            q = log_probabilities.detach().float().exp().transpose(0, 1)
            there = torch.arange(len(q))[:, None] < lengths.cpu()
            there = there.to(q.device)
            forward, log_sums = _forward(q, there, model)
            logs = log_sums + (_total(forward[-1]) * model.ends[:, None]).sum((0, 2)).log()
            if log_probabilities.requires_grad:
                context.save_for_backward(_posteriors(q, there, forward, model).transpose(0, 1))
        return logs

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (posteriors,) = context.saved_tensors
        return posteriors * gradients[0][:, None, None], None, None


class _States(NamedTuple):
    """Values of all states: ``(last symbol, batch, symbol before it)`` each.

    Attributes:
        blank: of those whose latest frame was blank, or that have none yet.
        symbol: of those whose latest frame was the last symbol.
    """

    blank: Tensor
    symbol: Tensor


def _total(states: _States) -> Tensor:
    return states.blank + states.symbol


def _forward(q: Tensor, there: Tensor, model: SymbolModel) -> tuple[list[_States], Tensor]:
    """Return the scaled forward probabilities before, and after each frame, and the log scales.

    Args:
        q: ``(frames, batch, symbols + 1)`` probabilities.
        there: ``(frames, batch)``, whether the utterance still goes on.
        model: of the symbols.
    """
    contexts, symbols = len(model.ends), len(model.ends) - 1
    blank = q.new_zeros(contexts, q.shape[1], contexts)
    blank[symbols, :, symbols] = 1.0
    states = [_States(blank, torch.zeros_like(blank))]
    logs = q.new_zeros(q.shape[1])
    repeat = model.following.diagonal(dim1=0, dim2=2).T  # of a symbol after itself
    for row, on in zip(q, there, strict=True):
        before = states[-1]
        entering = torch.bmm(_total(before), model.following)
        # A symbol in the next frame is the same one again, not a second one, unless parted by a
        # blank.
        same = (before.symbol[:symbols] * repeat[:, None]).sum(2)
        entering.diagonal(dim1=0, dim2=2).sub_(same.T)
        symbol = torch.zeros_like(blank)
        symbol[:symbols] = row.T[:symbols, :, None] * (
            before.symbol[:symbols] + entering.permute(2, 1, 0).clamp_(min=0)
        )
        after = _States(row[:, symbols][None, :, None] * _total(before), symbol)
        scale = torch.where(on, _total(after).sum((0, 2)), 1.0)
        logs = logs + scale.log()
        keep = on[None, :, None]
        states.append(
            _States(
                *(
                    torch.where(keep, new / scale[:, None], old)
                    for new, old in zip(after, before, strict=True)
                )
            )
        )
    return states, logs


def _posteriors(q: Tensor, there: Tensor, forward: list[_States], model: SymbolModel) -> Tensor:
    """Return the probability of each symbol in each frame, ``(frames, batch, symbols + 1)``."""
    symbols = len(model.ends) - 1
    repeat = model.following.diagonal(dim1=0, dim2=2).T
    backwards = model.following.transpose(1, 2)
    ends = model.ends[:, None].expand_as(forward[0].blank)
    future = _States(ends, ends)
    posteriors = torch.zeros_like(q)
    for frame in range(len(q) - 1, -1, -1):
        row, on, here = q[frame], there[frame], forward[frame + 1]
        joint = posteriors[frame]
        joint[:, :symbols] = (here.symbol * future.symbol).sum(2)[:symbols].T
        joint[:, symbols] = (here.blank * future.blank).sum((0, 2))
        joint /= joint.sum(1, keepdim=True)
        joint *= on[:, None]
        continued = row.T[:symbols, :, None] * future.symbol[:symbols]
        onward = torch.bmm(continued.permute(2, 1, 0), backwards)
        blank = row[:, symbols][None, :, None] * future.blank + onward
        symbol = blank.clone()
        same = continued.diagonal(dim1=0, dim2=2).T
        symbol[:symbols] += continued - same[:, :, None] * repeat[:, None]
        scale = blank.amax((0, 2))
        keep = on[None, :, None]
        future = _States(
            *(
                torch.where(keep, new / scale[:, None], old)
                for new, old in zip((blank, symbol), future, strict=True)
            )
        )
    return posteriors
