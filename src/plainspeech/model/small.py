"""The ``small`` preset: convolutions over time, two bidirectional LSTMs; made for two CPU cores."""

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


class Small(AcousticModel):
    """A CRNN of about four million parameters with a frame every 30 ms.

    Args:
        bins: mel filters of the features.
        symbols: outputs, the blank included.
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
        hidden: int = 256,
        dropout: float = 0.25,
    ) -> None:
        super().__init__()
        self.bins, self.width, self.kernel, self.hidden = bins, width, kernel, hidden
        self.frontend = Frontend(bins, channels, width)
        self.blocks = nn.ModuleList(
            TimeBlock(width, kernel, expansion, dropout) for _ in range(blocks)
        )
        self.between = nn.LayerNorm(width)
        self.intermediate = nn.Linear(width, symbols)
        self.lower = self.recurrence(width, hidden)
        self.upper = self.recurrence(2 * hidden, hidden)
        self.dropout = LockedDropout(dropout)
        self.output = nn.Linear(2 * hidden, symbols)

    @staticmethod
    def recurrence(inputs: int, hidden: int) -> nn.Module:
        """Return a recurrent layer from ``inputs`` to ``2 * hidden`` channels."""
        return Bidirectional(nn.LSTM, inputs, hidden)

    def heads(self, features: Tensor, lengths: Tensor) -> list[Tensor]:
        """Return the log-probabilities after the convolutions and after the recurrences."""
        valid = mask(lengths, features.shape[1])
        lengths = self.output_lengths(lengths)
        output_valid = valid[:, :: self.subsampling]
        x = self.frontend(features, valid, output_valid)
        for block in self.blocks:
            x = block(x, output_valid)
        x = self.between(x)
        y = self.dropout(self.lower(self.dropout(x), lengths))
        y = self.dropout(self.upper(y, lengths))
        # The soft-max is taken in float32: bfloat16 has eight bits, too few for CTC's long sums.
        return [
            functional.log_softmax(head(z).float(), dim=-1)
            for head, z in ((self.intermediate, x), (self.output, y))
        ]

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return the parts in order."""
        blocks = [(f"block {index}", block) for index, block in enumerate(self.blocks, start=1)]
        return [
            ("front end", self.frontend),
            *blocks,
            ("LayerNorm", self.between),
            ("intermediate output", self.intermediate),
            ("bidirectional LSTM 1", self.lower),
            ("bidirectional LSTM 2", self.upper),
            ("output", self.output),
        ]
