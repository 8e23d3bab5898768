"""`Crnn` over audio that is still being recorded: the presets that stream.

Frames come in chunks, and each chunk with a bounded look-ahead: its window. Every layer
treats the end of the window as the end of the utterance; earlier frames reach it through a state.
So the backward recurrences are reset at the end of each window (latency-controlled bidirectional
recurrence: Zhang et al., ICASSP 2016; Xue and Yan, ICASSP 2017), and the convolutions see
no frame after it. In training all windows of an utterance are computed at once, in inference one
after another.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from plainspeech.model.base import Heads
from plainspeech.model.crnn import Crnn
from plainspeech.model.padding import mask
from plainspeech.model.windows import WindowedBidirectional, Windows

WINDOWS = Windows(chunk=16, look_ahead=12)
"""Of output frames, which are 30 ms: 480 ms and 360 ms."""

_BEFORE = 2  # output frames before a window that the front end reads


@dataclass(frozen=True)
class StreamState:
    """The state of a stream between two windows; zeros at its start.

    Attributes:
        features: ``(batch, 6, bins)``, the last features of the last chunk.
        contexts: ``(batch, blocks, 5, width)``, the last frames of what went into each block.
        cells: ``(batch, layers, 2, hidden)``, output and cell of the forward recurrences.
    """

    features: Tensor
    contexts: Tensor
    cells: Tensor

    def tensors(self) -> tuple[Tensor, ...]:
        """Return the parts in order."""
        return tuple(getattr(self, part.name) for part in fields(self))


class Streaming(Crnn):
    """`Crnn`, a window at a time: 480 ms of audio and 360 ms of look-ahead.

    Its weights have the names and shapes of `Crnn`'s, so either can start from the other's.

    Args:
        bins: mel filters of the features.
        symbols: outputs, the blank included.
        windows: how utterances are cut; a chunk holds five frames or more.
        sizes: as `Crnn` has them.
    """

    def __init__(
        self, bins: int, symbols: int, *, windows: Windows = WINDOWS, **sizes: Any
    ) -> None:
        super().__init__(bins, symbols, **sizes)
        self.windows = windows

    @staticmethod
    def recurrence(inputs: int, hidden: int) -> nn.Module:
        """Return a recurrence over windows, from ``inputs`` to ``2 * hidden`` channels."""
        return WindowedBidirectional(inputs, hidden)

    def heads(self, features: Tensor, lengths: Tensor) -> Heads:
        """Return the log-probabilities after the recurrences, and after the convolutions."""
        frames = int(self.output_lengths(torch.tensor(features.shape[1])))
        state = self.start(len(features))
        heads, _ = self._run(features, lengths, self.windows.count(frames), state)
        return Heads(
            heads.output[:, :frames],
            tuple(head[:, :frames] for head in heads.inner),
            None if heads.phones is None else heads.phones[:, :frames],
        )

    def step(
        self, features: Tensor, lengths: Tensor, state: StreamState
    ) -> tuple[Tensor, Tensor, StreamState]:
        """Compute one window.

        Args:
            features: ``(batch, 3 * window, bins)``, of the chunk and the look-ahead.
            lengths: ``(batch,)`` int64, valid features; fewer where the audio ends.
            state: from before the window.

        Returns:
            `Heads.joined`, ``(batch, chunk, outputs)``, how many of these frames there are, and
            the state for the window that begins ``3 * chunk`` features later.
        """
        heads, state = self._run(features, lengths, 1, state)
        owned = self.output_lengths(lengths).clamp(max=self.windows.chunk)
        return heads.joined, owned, state

    def start(self, batch: int) -> StreamState:
        """Return the state at the start of ``batch`` utterances."""
        zeros = self.output.linear.weight.new_zeros
        return StreamState(
            features=zeros(batch, self.subsampling * _BEFORE, self.bins),
            contexts=zeros(batch, len(self.blocks), self.kernel // 2, self.width),
            cells=zeros(batch, len(self.layers), 2, self.hidden),
        )

    def _run(
        self, features: Tensor, lengths: Tensor, count: int, state: StreamState
    ) -> tuple[Heads, StreamState]:
        """Return the heads, ``(batch, count * chunk, symbols)`` each, and the state after them."""
        chunk = self.windows.chunk
        lengths = lengths.to(features.device)
        inside = self.windows.lengths(self.output_lengths(lengths), count)
        features = features.masked_fill(~mask(lengths, features.shape[1])[:, :, None], 0.0)
        cut = self.windows.cut(features, state.features, self.subsampling, count)
        x, contexts = self._convolve(cut, inside, state.contexts)
        intermediate = self.intermediate(x[:, :, :chunk])
        cells = []
        for layer, cell in zip(self.layers, state.cells.unbind(1), strict=True):
            x, cell = layer(x, inside, chunk, cell)
            cells.append(cell)
        owned = x[:, :, :chunk]
        heads = Heads(
            self.output(owned).flatten(1, 2),
            (intermediate.flatten(1, 2),),
            self.phones(owned).flatten(1, 2) if self.phones else None,
        )
        last = cut[:, -1, self.subsampling * chunk :][:, : state.features.shape[1]]
        return heads, StreamState(last, contexts, torch.stack(cells, 1))

    def _convolve(self, cut: Tensor, inside: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output of the convolutions for windows of features, and their new contexts."""
        there = _known(inside, _BEFORE, self.windows.size)
        x = self.frontend(cut.flatten(0, 1), there.repeat_interleave(self.subsampling, 1), there)
        x = torch.unflatten(x[:, _BEFORE:], 0, inside.shape)
        context = before.shape[2]
        there = _known(inside, context, self.windows.size)
        after = []
        for block, frames in zip(self.blocks, before.unbind(1), strict=True):
            x, end = self.windows.with_context(x, frames)
            x = torch.unflatten(block(x.flatten(0, 1), there)[:, context:], 0, inside.shape)
            after.append(end)
        return x, torch.stack(after, 1)


def _known(inside: Tensor, context: int, size: int) -> Tensor:
    """Return which frames of windows and of what is before them are no padding.

    Args:
        inside: ``(batch, windows)``, frames of each window that its utterance has.
        context: frames before each window; all of them are known.
        size: of the windows.

    Returns:
        ``(batch * windows, context + size)`` bool.
    """
    return mask(inside.flatten() + context, context + size)
