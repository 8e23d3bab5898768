"""The CRNN of the presets ``small`` and ``base``: convolutions over time, then recurrences."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from plainspeech.model.base import AcousticModel, Heads
from plainspeech.model.padding import mask
from plainspeech.model.recurrence import Bidirectional


class Frontend(nn.Module):
    """Two convolutions over time and frequency, then a projection: one frame of three.

    The first convolution has stride 3 over time, so nothing is computed at the rate of the
    features, which takes most of the time of a usual front end on a CPU.
    """

    def __init__(self, bins: int, channels: int, width: int) -> None:
        super().__init__()
        # With these paddings the output has ceil(frames / 3) frames and ceil(bins / 4) bins.
        self.first = nn.Conv2d(1, channels, (5, 3), stride=(3, 2), padding=(2, 1))
        self.second = nn.Conv2d(channels, channels, 3, stride=(1, 2), padding=1)
        self.project = nn.Linear(channels * ((bins + 3) // 4), width)

    def forward(self, features: Tensor, valid: Tensor, output_valid: Tensor) -> Tensor:
        """Return ``(batch, ceil(frames / 3), width)``; the masks are ``(batch, frames)``."""
        x = features.masked_fill(~valid[:, :, None], 0.0)[:, None]
        x = functional.gelu(self.first(x)).masked_fill(~output_valid[:, None, :, None], 0.0)
        x = functional.gelu(self.second(x))
        out: Tensor = self.project(x.transpose(1, 2).flatten(2))
        return out


class TimeBlock(nn.Module):
    """A residual block: a depthwise convolution over time, then a feed-forward network.

    The order of ConvNeXt (Liu et al., CVPR 2022), over one dimension.
    """

    def __init__(self, width: int, kernel: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.over_time = nn.Conv2d(
            width, width, (1, kernel), padding=(0, kernel // 2), groups=width
        )
        self.normalise = nn.LayerNorm(width)
        self.expand = nn.Linear(width, expansion * width)
        self.contract = nn.Linear(expansion * width, width)
        self.dropout = LockedDropout(dropout)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Return ``(batch, frames, width)`` for the same."""
        # As (batch, width, 1, frames) the memory is already in channels-last order, which is the
        # fastest for convolutions on a CPU; nothing is copied.
        y = x.masked_fill(~valid[:, :, None], 0.0).transpose(1, 2).unsqueeze(2)
        y = self.normalise(self.over_time(y).squeeze(2).transpose(1, 2))
        y = self.contract(functional.gelu(self.expand(y)))
        out: Tensor = x + self.dropout(y)
        return out


class LockedDropout(nn.Module):
    """Dropout of whole channels, the same for every frame of an utterance.

    Variational dropout (Gal and Ghahramani, NeurIPS 2016): stronger than noise that a recurrence
    can average away, and one random number a channel instead of one an element.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, ``(batch, ..., channels)``, with channels dropped in training."""
        if not self.training:
            return x
        kept = x.new_ones(len(x), *[1] * (x.dim() - 2), x.shape[-1])
        return x * functional.dropout(kept, self.rate)


class RecurrentBlock(nn.Module):
    """A recurrence, with the layers before and after it.

    Attributes:
        before: the layers between the block's input and the recurrence.
        recurrence: over whole utterances, or over windows.
    """

    before: nn.Module
    recurrence: nn.Module

    def forward(self, x: Tensor, *where: Any) -> Any:
        """Return ``(batch, ..., channels)``; for a recurrence with a state, also the new state.

        Args:
            x: ``(batch, ..., channels)``.
            where: the recurrence's further arguments.
        """
        y = self.recurrence(self.before(x), *where)
        if isinstance(y, tuple):
            return self.after(x, y[0]), y[1]
        return self.after(x, y)

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the block's output, ``(batch, ..., channels)``.

        Args:
            x: the block's input.
            y: the recurrence's output.
        """
        raise NotImplementedError


class StackedBlock(RecurrentBlock):
    """A recurrence on the output of the one before it; dropout.

    Args:
        recurrence: from ``inputs`` to ``outputs`` channels.
        inputs: channels in.
        dropout: of channels of the output, and of the input of the first.
        first: of its stack; its input is normalised.
    """

    def __init__(self, recurrence: nn.Module, inputs: int, dropout: float, first: bool) -> None:
        super().__init__()
        self.recurrence = recurrence
        self.dropout = LockedDropout(dropout)
        normalise = (nn.LayerNorm(inputs), self.dropout) if first else ()
        self.before = nn.Sequential(*normalise)

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the recurrence's output, with dropout."""
        out: Tensor = self.dropout(y)
        return out


class ResidualBlock(RecurrentBlock):
    """LayerNorm, a recurrence, a projection back to the width, dropout; added to the input.

    Normalising before the recurrence and adding its output to its input lets several of them be
    stacked (pre-norm residual; Xiong et al., ICML 2020, for Transformers).

    Args:
        recurrence: from ``width`` to ``outputs`` channels.
        width: channels in and out.
        outputs: of the recurrence.
        dropout: of channels.
    """

    def __init__(self, recurrence: nn.Module, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.before = nn.LayerNorm(width)
        self.recurrence = recurrence
        self.project = nn.Linear(outputs, width)
        self.dropout = LockedDropout(dropout)

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the sum of the input and the projected output of the recurrence."""
        out: Tensor = x + self.dropout(self.project(y))
        return out


class Crnn(AcousticModel):
    """Convolutions over time, then bidirectional LSTMs; a frame every 30 ms.

    Args:
        bins: mel filters of the features.
        symbols: outputs, the blank included.
        channels: of the two-dimensional convolutions.
        width: channels of a frame between the blocks.
        blocks: convolutional blocks over time.
        kernel: output frames that a block's convolution sees; odd.
        expansion: of the width within a convolutional block.
        layers: recurrent blocks.
        hidden: of an LSTM, in each direction.
        residual: whether the recurrent blocks are residual, or simply stacked.
        dropout: of whole channels.
        phones: outputs of a second head, over phones, the blank included; 0 for none.
    """

    subsampling = 3

    def __init__(
        self,
        bins: int,
        symbols: int,
        *,
        channels: int = 32,
        width: int = 256,
        blocks: int = 4,
        kernel: int = 11,
        expansion: int = 3,
        layers: int = 2,
        hidden: int = 256,
        residual: bool = False,
        dropout: float = 0.2,
        phones: int = 0,
    ) -> None:
        super().__init__()
        self.bins, self.width, self.kernel, self.hidden = bins, width, kernel, hidden
        self.frontend = Frontend(bins, channels, width)
        self.blocks = nn.ModuleList(
            TimeBlock(width, kernel, expansion, dropout) for _ in range(blocks)
        )
        self.intermediate = Head(width, symbols)
        self.layers = nn.ModuleList()
        inputs = width
        for layer in range(layers):
            recurrence = self.recurrence(inputs, hidden)
            if residual:
                self.layers.append(ResidualBlock(recurrence, inputs, 2 * hidden, dropout))
            else:
                self.layers.append(StackedBlock(recurrence, inputs, dropout, first=layer == 0))
                inputs = 2 * hidden
        self.output = Head(inputs, symbols, normalise=residual)
        self.phones = Head(inputs, phones, normalise=residual) if phones else None

    @staticmethod
    def recurrence(inputs: int, hidden: int) -> nn.Module:
        """Return a recurrence over whole utterances, from ``inputs`` to ``2 * hidden`` channels."""
        return Bidirectional(nn.LSTM, inputs, hidden)

    def heads(self, features: Tensor, lengths: Tensor) -> Heads:
        """Return the log-probabilities after the recurrences, and after the convolutions."""
        valid = mask(lengths, features.shape[1], features.device)
        lengths = self.output_lengths(lengths)
        output_valid = valid[:, :: self.subsampling]
        x = self.frontend(features, valid, output_valid)
        for block in self.blocks:
            x = block(x, output_valid)
        intermediate = self.intermediate(x)
        for layer in self.layers:
            x = layer(x, lengths)
        return Heads(self.output(x), (intermediate,), self.phones(x) if self.phones else None)

    def classifiers(self) -> list[nn.Linear]:
        """Return the last layers of both heads over symbols."""
        return [self.intermediate.linear, self.output.linear]

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return the parts in order."""
        return [
            ("front end", self.frontend),
            *((f"block {n}", block) for n, block in enumerate(self.blocks, start=1)),
            ("intermediate output", self.intermediate),
            *((f"bidirectional LSTM {n}", layer) for n, layer in enumerate(self.layers, start=1)),
            ("output", self.output),
            *([("output over phones", self.phones)] if self.phones else []),
        ]


class Head(nn.Module):
    """LayerNorm, if asked for, and a linear layer: frames to log-probabilities of the symbols."""

    def __init__(self, width: int, symbols: int, normalise: bool = True) -> None:
        super().__init__()
        self.normalise = nn.LayerNorm(width) if normalise else nn.Identity()
        self.linear = nn.Linear(width, symbols)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(..., symbols)`` float32 for ``(..., width)``."""
        # The soft-max is taken in float32: bfloat16 has eight bits, too few for CTC's long sums.
        return functional.log_softmax(self.linear(self.normalise(x)).float(), dim=-1)
