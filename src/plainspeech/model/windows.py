"""Windows: chunks of an utterance, each with a look-ahead, computed all at once or one by one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from plainspeech.model.padding import reverse


@dataclass(frozen=True)
class Windows:
    """How utterances are cut; everything in output frames.

    Attributes:
        chunk: frames by which windows advance, and for which a window gives outputs.
        look_ahead: frames after them, for which the next windows do.
    """

    chunk: int
    look_ahead: int

    @property
    def size(self) -> int:
        """Frames of a window."""
        return self.chunk + self.look_ahead

    def count(self, frames: int) -> int:
        """Return the number of windows for ``frames`` frames."""
        return -(-frames // self.chunk)

    def lengths(self, lengths: Tensor, count: int) -> Tensor:
        """Return the frames of each window that its utterance has, ``(batch, count)``.

        Args:
            lengths: ``(batch,)`` int64, frames of the utterances.
            count: windows of each.
        """
        starts = self.chunk * torch.arange(count, device=lengths.device)
        return (lengths[:, None] - starts).clamp(0, self.size)

    def cut(self, x: Tensor, before: Tensor, rate: int, count: int) -> Tensor:
        """Return the windows of ``x``, each after the frames before it.

        Args:
            x: ``(batch, frames, channels)`` at ``rate`` frames for each output frame.
            before: ``(batch, context, channels)``, what comes before ``x``.
            rate: of ``x``.
            count: windows of each utterance.

        Returns:
            ``(batch, count, context + rate * size, channels)``, zero beyond the end of ``x``.
        """
        context = before.shape[1]
        missing = rate * (self.chunk * (count - 1) + self.size) - x.shape[1]
        x = torch.cat([before, functional.pad(x, (0, 0, 0, missing))], 1)
        starts = rate * self.chunk * torch.arange(count, device=x.device)
        places = starts[:, None] + torch.arange(context + rate * self.size, device=x.device)
        return torch.unflatten(x.index_select(1, places.flatten()), 1, places.shape)

    def with_context(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Prepend to each window of ``x`` the last frames of the chunk before it.

        Args:
            x: ``(batch, windows, size, channels)``.
            before: ``(batch, context, channels)``, for the first window.

        Returns:
            ``(batch, windows, context + size, channels)``, and the context of the next window.
        """
        ends = x[:, :, self.chunk - before.shape[1] : self.chunk]
        contexts = torch.cat([before[:, None], ends[:, :-1]], 1)
        return torch.cat([contexts, x], 2), ends[:, -1]


class WindowedBidirectional(nn.Module):
    """A bidirectional LSTM whose backward direction is reset at the end of each window.

    Its weights have the names and shapes of `Bidirectional`'s.

    Args:
        inputs: channels in.
        hidden: channels out, of each direction.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.forwards = nn.LSTM(inputs, hidden, batch_first=True)
        self.backwards = nn.LSTM(inputs, hidden, batch_first=True)

    def forward(
        self, x: Tensor, lengths: Tensor, chunk: int, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return ``(batch, windows, size, 2 * hidden)`` and the state after the last chunk.

        Args:
            x: ``(batch, windows, size, inputs)``.
            lengths: ``(batch, windows)`` int64, frames of each window that are no padding.
            chunk: frames of a window without its look-ahead.
            state: ``(batch, 2, hidden)``, output and cell of the forward direction.
        """
        own, states = [], []
        for frames in x[:, :, :chunk].unbind(1):
            out, state = self._forwards(frames, state)
            own.append(out)
            states.append(state)
        flat = x.flatten(0, 1)
        # The forward direction also runs from the end of every chunk over its look-ahead.
        beyond = self._forwards(flat[:, chunk:], torch.stack(states, 1).flatten(0, 1))[0]
        ahead = torch.cat([torch.stack(own, 1).flatten(0, 1), beyond], 1)
        ends = lengths.flatten()
        back = reverse(self.backwards(reverse(flat, ends))[0], ends)
        return torch.unflatten(torch.cat([ahead, back], 2), 0, lengths.shape), state

    def _forwards(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs for ``x``, ``(batch, frames, inputs)``, and the state after it."""
        output, cell = state.transpose(0, 1).contiguous()[:, None].unbind(0)
        out, after = self.forwards(x, (output, cell))
        return out, torch.cat(after, 0).transpose(0, 1)
