"""The CRNN of the presets ``small`` and ``base``: convolutions over time, then recurrences."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from plainspeech.model.base import AcousticModel
from plainspeech.model.padding import mask
from plainspeech.model.recurrence import Bidirectional


class Frontend(nn.Module):
    """Two convolutions over time and frequency, then a projection: one frame of three.

    The first convolution already takes every third frame, so nothing is computed at the rate of
    the features; in a CPU's time, that is most of what a usual front end costs.
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
    """A residual block: a convolution over time for each channel, then a mix of the channels.

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
        # Seen as (batch, width, 1, frames), the memory is already in the channels-last order that
        # CPU convolutions like; nothing is copied.
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
        """Return ``x``, ``(batch, frames, channels)``, with channels dropped in training."""
        return functional.dropout1d(x.transpose(1, 2), self.rate, self.training).transpose(1, 2)


class RecurrentBlock(nn.Module):
    """A residual block: LayerNorm, a bidirectional LSTM, a projection back to the width, dropout.

    Normalising before the recurrence and adding its output to its input lets several of them be
    stacked (pre-norm residual; Xiong et al., ICML 2020, for Transformers).
    """

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.normalise = nn.LayerNorm(width)
        self.recurrence: nn.Module = Bidirectional(nn.LSTM, width, hidden)
        self.project = nn.Linear(2 * hidden, width)
        self.dropout = LockedDropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return ``(batch, frames, width)`` for the same."""
        y = self.recurrence(self.normalise(x), lengths)
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
        dropout: of whole channels.
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
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.bins, self.width, self.kernel, self.hidden = bins, width, kernel, hidden
        self.frontend = Frontend(bins, channels, width)
        self.blocks = nn.ModuleList(
            TimeBlock(width, kernel, expansion, dropout) for _ in range(blocks)
        )
        self.intermediate = Head(width, symbols)
        self.layers = nn.ModuleList(
            self.recurrent_block(width, hidden, dropout) for _ in range(layers)
        )
        self.output = Head(width, symbols)

    @staticmethod
    def recurrent_block(width: int, hidden: int, dropout: float) -> nn.Module:
        """Return a block that recurs over whole utterances."""
        return RecurrentBlock(width, hidden, dropout)

    def heads(self, features: Tensor, lengths: Tensor) -> list[Tensor]:
        """Return the log-probabilities after the convolutions and after the recurrences."""
        valid = mask(lengths, features.shape[1], features.device)
        lengths = self.output_lengths(lengths)
        output_valid = valid[:, :: self.subsampling]
        x = self.frontend(features, valid, output_valid)
        for block in self.blocks:
            x = block(x, output_valid)
        intermediate = self.intermediate(x)
        for layer in self.layers:
            x = layer(x, lengths)
        return [intermediate, self.output(x)]

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return the parts in order."""
        return [
            ("front end", self.frontend),
            *((f"block {n}", block) for n, block in enumerate(self.blocks, start=1)),
            ("intermediate output", self.intermediate),
            *((f"bidirectional LSTM {n}", layer) for n, layer in enumerate(self.layers, start=1)),
            ("output", self.output),
        ]


class Head(nn.Module):
    """LayerNorm and a linear layer: frames to log-probabilities of the symbols."""

    def __init__(self, width: int, symbols: int) -> None:
        super().__init__()
        self.normalise = nn.LayerNorm(width)
        self.linear = nn.Linear(width, symbols)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(..., symbols)`` float32 for ``(..., width)``."""
        # The soft-max is taken in float32: bfloat16 has eight bits, too few for CTC's long sums.
        return functional.log_softmax(self.linear(self.normalise(x)).float(), dim=-1)
