"""A bidirectional recurrence that reads no padding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from plainspeech.model.padding import mask, reverse, to_device


class Bidirectional(nn.Module):
    """One layer of recurrence in each direction over every utterance of a batch.

    The backward direction runs over each utterance reversed from its own end, so neither direction
    meets padding before the utterance is over. On a GPU both directions run side by side in
    cuDNN's kernels over packed sequences; these are slower on a CPU and do not export to ONNX.
    Weights and function are the same either way.

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
            lengths: ``(batch,)`` int64, on the CPU.
        """
        if x.is_cuda:
            return self.packed(x, lengths)
        ahead = self.forwards(x)[0]
        back = reverse(self.backwards(reverse(x, lengths))[0], lengths)
        both = torch.cat([ahead, back], dim=2)
        return both.masked_fill(~mask(lengths, x.shape[1], x.device)[:, :, None], 0.0)

    def packed(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return what `forward` does, computed over packed sequences in float32.

        cuDNN has no recurrence in bfloat16; in TF32, which it uses where torch allows it, float32
        costs little more.
        """
        batch, frames, _ = x.shape
        places, sizes = _packing(lengths, frames)
        places = to_device(places, x.device)
        with torch.autocast(x.device.type, enabled=False):
            data = x.float().flatten(0, 1).index_select(0, places)
            weights: list[Tensor] = [*self.forwards.all_weights[0], *self.backwards.all_weights[0]]
            start = data.new_zeros(2, batch, self.forwards.hidden_size)
            # One layer with biases, no dropout between layers, both directions.
            if isinstance(self.forwards, nn.LSTM):
                state = (start, start)
                out = torch.lstm(data, sizes, state, weights, True, 1, 0.0, self.training, True)[0]
            else:
                out = torch.gru(data, sizes, start, weights, True, 1, 0.0, self.training, True)[0]
        padded = out.new_zeros(batch * frames, out.shape[1]).index_copy(0, places, out)
        return torch.unflatten(padded, 0, (batch, frames))


def _packing(lengths: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """Return where the frames of a packed sequence are in a padded batch.

    A packed sequence has the first frames of all utterances, the longest first, then the second
    frames of those that have one, and so on. Torch's own functions do this with a copy a frame,
    which takes longer than the recurrence.

    Args:
        lengths: ``(batch,)`` int64, on the CPU.
        frames: of the padded batch.

    Returns:
        Places in the batch flattened to ``(batch * frames, ...)``, and how many utterances reach
        each frame; int64, on the CPU.
    """
    lengths, rows = lengths.sort(descending=True, stable=True)
    times = torch.arange(int(lengths[0]))[:, None]
    inside = times < lengths
    return (rows * frames + times)[inside], inside.sum(1)
