"""A bidirectional recurrence that reads no padding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from plainspeech.model.padding import mask, reverse


class Bidirectional(nn.Module):
    """One layer of recurrence in each direction over every utterance of a batch.

    The backward direction runs over each utterance reversed from its own end, so neither direction
    meets padding before the utterance is over. (Torch's own bidirectional layers need packed
    sequences for that, which are slower on a CPU and do not export to ONNX.)

    Args:
        kind: ``nn.GRU`` or ``nn.LSTM``.
        inputs: channels in.
        hidden: channels out, of each direction.
    """

    def __init__(self, kind: type[nn.GRU] | type[nn.LSTM], inputs: int, hidden: int) -> None:
        super().__init__()
        self.forwards = kind(inputs, hidden, batch_first=True)
        self.backwards = kind(inputs, hidden, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return ``(batch, frames, 2 * hidden)``, zero in the padding.

        Args:
            x: ``(batch, frames, inputs)``.
            lengths: ``(batch,)`` int64.
        """
        ahead = self.forwards(x)[0]
        back = reverse(self.backwards(reverse(x, lengths))[0], lengths)
        both = torch.cat([ahead, back], dim=2)
        return both.masked_fill(~mask(lengths, x.shape[1])[:, :, None], 0.0)
