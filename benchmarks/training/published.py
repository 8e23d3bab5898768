"""The reference design as published, its faults included: what `speed` and `ablation` compare with.

Each fault stands where a comment calls it one. `plainspeech.model.reference` is the same network
without them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from plainspeech.data.loading import FULL_SCALE, Batch

DROPOUT = 0.1
SYMBOLS = 29
BATCH, BINS, HOP_MS = 8, 128, 12.5
RATE = 1e-4
"""Of learning."""


@dataclass(frozen=True)
class Sizes:
    """Of the network; by default as published.

    Attributes:
        channels: of the convolutions.
        hidden: of a GRU, in each direction.
        layers: of GRUs.
    """

    channels: int = 32
    hidden: int = 512
    layers: int = 5


PUBLISHED = Sizes()


class HalfBlock(nn.Module):
    """LayerNorm over the features, GELU, dropout, convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(BINS // 2)
        self.dropout = nn.Dropout(DROPOUT)
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, channels, bins, frames)`` for the same."""
        x = self.norm(x.transpose(2, 3)).transpose(2, 3)
        out: Tensor = self.convolution(self.dropout(functional.gelu(x)))
        return out


class RecurrentLayer(nn.Module):
    """LayerNorm, GELU, bidirectional GRU, dropout."""

    def __init__(self, inputs: int, hidden: int, batch_first: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(inputs)
        self.gru = nn.GRU(inputs, hidden, batch_first=batch_first, bidirectional=True)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, frames, 2 * hidden)``."""
        out: Tensor = self.dropout(self.gru(functional.gelu(self.norm(x)))[0])
        return out


class Published(nn.Module):
    """The published network.

    Args:
        sizes: of its layers.
        over_time: whether the GRU layers after the first recur over the frames; as published they
            recur over the utterances of the batch, which is eight steps instead of hundreds.
    """

    def __init__(self, sizes: Sizes = PUBLISHED, *, over_time: bool) -> None:
        super().__init__()
        channels, hidden = sizes.channels, sizes.hidden
        self.convolution = nn.Conv2d(1, channels, 3, stride=2, padding=1)
        self.halves = nn.ModuleList(HalfBlock(channels) for _ in range(6))
        self.project = nn.Linear(channels * BINS // 2, hidden)
        # The fault of the recurrence: batch_first is true for the first layer alone, so the others
        # take the batch for time, and what is said in one utterance goes into its neighbours.
        first = RecurrentLayer(hidden, hidden, True)
        later = (RecurrentLayer(2 * hidden, hidden, over_time) for _ in range(sizes.layers - 1))
        self.layers = nn.ModuleList([first, *later])
        self.classify = nn.Sequential(
            nn.Linear(2 * hidden, hidden),
            nn.GELU(),
            nn.Dropout(DROPOUT),
            nn.Linear(hidden, SYMBOLS),
        )

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probabilities for ``(batch, frames, 128)``, and how many are each one's."""
        # The fault of the padding: nothing masks it, so the convolutions, LayerNorms' biases and
        # the backward GRUs carry it into the utterance.
        x = self.convolution(features.transpose(1, 2)[:, None])
        for first, second in zip(self.halves[::2], self.halves[1::2], strict=True):
            x = x + second(first(x))
        x = self.project(x.flatten(1, 2).transpose(1, 2))
        for layer in self.layers:
            x = layer(x)
        # The fault of the lengths: the convolution makes one frame more of an odd number.
        return functional.log_softmax(self.classify(x), dim=-1), lengths // 2


class PowerMel(nn.Module):
    """The published features: the power in mel filters.

    Two faults: it is neither its logarithm nor normalised, so that a recording that is ten times as
    loud has features a hundred times as large; and of the 201 frequencies of a transform of 400
    samples none falls between the edges of four of the 128 filters, which are always zero.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, sample_rate: int = 16_000) -> None:
        super().__init__()
        self._points, self._hop = 400, round(sample_rate * HOP_MS / 1000)
        self.register_buffer("window", torch.hann_window(self._points))
        places = torch.linspace(0, sample_rate / 2, self._points // 2 + 1)[:, None]
        # On HTK's mel scale.
        highest = torch.log1p(torch.tensor(sample_rate / 2 / 700))
        edges = 700 * torch.expm1(torch.linspace(0, 1, BINS + 2) * highest)
        left, centre, right = edges[:-2], edges[1:-1], edges[2:]
        rising, falling = (places - left) / (centre - left), (right - places) / (right - centre)
        self.register_buffer("filters", torch.minimum(rising, falling).clamp(min=0))

    @torch.no_grad()
    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return ``(batch, frames, 128)`` and the frames of each utterance."""
        waveforms = torch.from_numpy(batch.waveforms).float() / FULL_SCALE
        spectra = torch.stft(
            waveforms, self._points, self._hop, window=self.window, return_complex=True
        )
        power = spectra.abs().square().transpose(1, 2)
        return power @ self.filters, torch.from_numpy(batch.lengths) // self._hop + 1


class PlainLoop:
    """AdamW at one rate and the CTC loss in float32, as in any tutorial.

    Args:
        model: gives log-probabilities and lengths for features and lengths.
        rate: of learning.
    """

    def __init__(self, model: nn.Module, rate: float = RATE) -> None:
        self.model = model.train()
        self.optimiser = torch.optim.AdamW(model.parameters(), lr=rate)
        # The fault of CTC: an utterance that cannot be aligned teaches nothing, and nobody hears.
        self.loss = nn.CTCLoss(blank=SYMBOLS - 1, zero_infinity=True)

    def step(
        self, features: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor
    ) -> None:
        """Train on one batch."""
        self.optimiser.zero_grad()
        output, output_lengths = self.model(features, lengths)
        self.loss(output.transpose(0, 1), targets, output_lengths, target_lengths).backward()
        self.optimiser.step()
