"""The CTC loss, without its pitfalls."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def ctc_loss(
    log_probabilities: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor
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
    """
    with torch.autocast(log_probabilities.device.type, enabled=False):
        return functional.ctc_loss(
            log_probabilities.float().transpose(0, 1),
            targets.long(),
            lengths.long(),
            target_lengths.long(),
            blank=log_probabilities.shape[-1] - 1,
            reduction="none",
            zero_infinity=False,
        )
