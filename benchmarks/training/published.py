"""The reference design as published, faults included: what `speed.py` compares with."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

DROPOUT = 0.1
SYMBOLS = 29


class HalfBlock(nn.Module):
    """LayerNorm over the features, GELU, dropout, convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(64)
        self.convolution = nn.Conv2d(32, 32, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, 32, 64, frames)`` for the same."""
        x = self.norm(x.transpose(2, 3)).transpose(2, 3)
        out: Tensor = self.convolution(functional.dropout(functional.gelu(x), DROPOUT))
        return out


class RecurrentLayer(nn.Module):
    """LayerNorm, GELU, bidirectional GRU, dropout."""

    def __init__(self, inputs: int, batch_first: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(inputs)
        self.gru = nn.GRU(inputs, 512, batch_first=batch_first, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, frames, 1024)``."""
        return functional.dropout(self.gru(functional.gelu(self.norm(x)))[0], DROPOUT)


class Published(nn.Module):
    """The published network.

    Args:
        over_time: whether GRU layers 2 to 5 recur over the frames; as published they recur over
            the utterances of the batch, which is eight steps instead of hundreds.
    """

    def __init__(self, *, over_time: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 32, 3, stride=2, padding=1)
        self.halves = nn.ModuleList(HalfBlock() for _ in range(6))
        self.project = nn.Linear(2048, 512)
        self.layers = nn.ModuleList(
            [RecurrentLayer(512, True), *(RecurrentLayer(1024, over_time) for _ in range(4))]
        )
        self.classify = nn.Sequential(
            nn.Linear(1024, 512), nn.GELU(), nn.Dropout(DROPOUT), nn.Linear(512, SYMBOLS)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return log-probabilities for ``(batch, frames, 128)``."""
        x = self.convolution(features.transpose(1, 2)[:, None])
        for first, second in zip(self.halves[::2], self.halves[1::2], strict=True):
            x = x + second(first(x))
        x = self.project(x.flatten(1, 2).transpose(1, 2))
        for layer in self.layers:
            x = layer(x)
        return functional.log_softmax(self.classify(x), dim=-1)


class PlainLoop:
    """A model, AdamW and the CTC loss, as in any tutorial."""

    def __init__(self, *, over_time: bool) -> None:
        self.model = Published(over_time=over_time).train()
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-4)
        self.loss = nn.CTCLoss(blank=SYMBOLS - 1, zero_infinity=True)

    def step(
        self, features: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor
    ) -> None:
        """Train on one batch."""
        self.optimiser.zero_grad()
        output = self.model(features).transpose(0, 1)
        self.loss(output, targets, lengths // 2, target_lengths).backward()
        self.optimiser.step()
