"""The ``reference`` preset: residual convolutions, then five bidirectional GRUs.

Every stage has the shape and parameter count of the published system that this package started
from; unlike that system, it recurs over time in every layer, reads no padding, and gives
an output frame for every second feature frame, the last odd one included.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from plainspeech.model.base import AcousticModel, Heads
from plainspeech.model.padding import mask
from plainspeech.model.recurrence import Bidirectional


class Downsampling(nn.Module):
    """A convolution that halves the bins and the frames."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, channels, 3, stride=2, padding=1)

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """Return ``(batch, channels, ceil(bins / 2), ceil(frames / 2))``.

        Args:
            features: ``(batch, frames, bins)``.
            valid: ``(batch, frames)`` bool, false in the padding.
        """
        x = features.masked_fill(~valid[:, :, None], 0.0)
        y: Tensor = self.convolution(x[:, None])
        return y.transpose(2, 3)


class PreactivatedConvolution(nn.Module):
    """Normalisation over the bins, GELU, dropout and a convolution that keeps the shape."""

    def __init__(self, channels: int, bins: int, dropout: float) -> None:
        super().__init__()
        self.normalise = nn.LayerNorm(bins)
        self.activate = nn.GELU()
        self.dropout = nn.Dropout(dropout)
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Return ``(batch, channels, bins, frames)`` for the same; ``valid`` as in the block."""
        # In memory the bins lie innermost all the way, as normalisation wants them: the shapes
        # are those of the published table, and no transposition copies.
        x = self.dropout(self.activate(self.normalise(x.transpose(2, 3))))
        # Normalisation maps the padding from zero to its bias; the convolution must not read it.
        y: Tensor = self.convolution(x.masked_fill(~valid[:, None, :, None], 0.0))
        return y.transpose(2, 3)


class ResidualConvolutions(nn.Module):
    """Two preactivated convolutions and the skip past both (He et al., ECCV 2016)."""

    def __init__(self, channels: int, bins: int, dropout: float) -> None:
        super().__init__()
        self.first = PreactivatedConvolution(channels, bins, dropout)
        self.second = PreactivatedConvolution(channels, bins, dropout)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Return ``(batch, channels, bins, frames)`` for the same.

        Args:
            x: whose padding may hold anything finite.
            valid: ``(batch, frames)`` bool, false in the padding.
        """
        out: Tensor = x + self.second(self.first(x, valid), valid)
        return out


class RecurrentLayer(nn.Module):
    """Normalisation, GELU, a bidirectional GRU and dropout."""

    def __init__(self, inputs: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.normalise = nn.LayerNorm(inputs)
        self.activate = nn.GELU()
        self.recurrence = Bidirectional(nn.GRU, inputs, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return ``(batch, frames, 2 * hidden)`` for ``(batch, frames, inputs)``."""
        x = self.recurrence(self.activate(self.normalise(x)), lengths)
        out: Tensor = self.dropout(x)
        return out


class Reference(AcousticModel):
    """The published CRNN with its bugs fixed: 23.7 million parameters, a frame every 25 ms.

    Args:
        bins: mel filters of the features.
        symbols: outputs, the blank included.
    """

    subsampling = 2

    def __init__(
        self,
        bins: int = 128,
        symbols: int = 29,
        *,
        channels: int = 32,
        blocks: int = 3,
        layers: int = 5,
        hidden: int = 512,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        halved = (bins + 1) // 2
        self.downsampling = Downsampling(channels)
        self.blocks = nn.ModuleList(
            ResidualConvolutions(channels, halved, dropout) for _ in range(blocks)
        )
        self.project = nn.Linear(channels * halved, hidden)
        self.layers = nn.ModuleList(
            RecurrentLayer(hidden if layer == 0 else 2 * hidden, hidden, dropout)
            for layer in range(layers)
        )
        self.classify = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.GELU(), nn.Dropout(dropout))
        self.output = nn.Linear(hidden, symbols)

    def heads(self, features: Tensor, lengths: Tensor) -> Heads:
        """Return the log-probabilities of the one output."""
        valid = mask(lengths, features.shape[1], features.device)
        output_lengths = self.output_lengths(lengths)
        output_valid = valid[:, :: self.subsampling]
        x = self.downsampling(features, valid)
        for block in self.blocks:
            x = block(x, output_valid)
        x = self.project(x.permute(0, 3, 1, 2).flatten(2))
        for layer in self.layers:
            x = layer(x, output_lengths)
        # The soft-max is taken in float32: bfloat16 has eight bits, too few for CTC's long sums.
        return Heads(functional.log_softmax(self.output(self.classify(x)).float(), dim=-1))

    def classifiers(self) -> list[nn.Linear]:
        """Return the last layer."""
        return [self.output]

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return the parts in order, one a row of the published table."""
        return [
            ("convolution", self.downsampling),
            *((f"residual block {n}", part) for n, part in enumerate(self.blocks, start=1)),
            ("projection", self.project),
            *((f"bidirectional GRU {n}", part) for n, part in enumerate(self.layers, start=1)),
            ("classifier", self.classify),
            ("output", self.output),
        ]
