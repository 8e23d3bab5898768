"""The interface of the acoustic models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Heads(NamedTuple):
    """The log-probabilities of every output, ``(batch, output_frames, symbols)`` float32 each.

    Attributes:
        output: the model's own.
        inner: from inner layers; they serve only the intermediate CTC loss (Lee and Watanabe,
            ICASSP 2021).
        phones: over the phones of a pronunciation lexicon, from the same layer as ``output``; None
            for a model that learns letters alone.
    """

    output: Tensor
    inner: tuple[Tensor, ...] = ()
    phones: Tensor | None = None

    @property
    def joined(self) -> Tensor:
        """What bundles have: the model's own output, then that over phones, if there is one."""
        return self.output if self.phones is None else torch.cat([self.output, self.phones], -1)


class AcousticModel(nn.Module, ABC):
    """From features to log-probabilities of symbols, frame by frame.

    An utterance's output is the same alone and in any batch: no layer reads padding.

    Attributes:
        subsampling: feature frames for each output frame.
    """

    subsampling: int

    @abstractmethod
    def heads(self, features: Tensor, lengths: Tensor) -> Heads:
        """Return the log-probabilities of every output.

        Args:
            features: ``(batch, frames, bins)`` float32.
            lengths: ``(batch,)`` int64, frames of each utterance; on the CPU, so that reading
                them does not wait for a GPU.
        """

    @abstractmethod
    def classifiers(self) -> list[nn.Linear]:
        """Return the layers with a row a symbol: of the inner outputs, then of the output."""

    @abstractmethod
    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return the parts of the model in order, named, for its summary."""

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return the output frames for ``lengths`` feature frames: rounded up."""
        return (lengths + self.subsampling - 1) // self.subsampling

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return `Heads.joined`, ``(batch, output_frames, outputs)``, and their lengths."""
        return self.heads(features, lengths).joined, self.output_lengths(lengths)
