"""The interface of the acoustic models."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class AcousticModel(nn.Module, ABC):
    """From features to log-probabilities of symbols, frame by frame.

    An utterance's output is the same alone and in any batch: no layer reads padding.

    Attributes:
        subsampling: feature frames for each output frame.
    """

    subsampling: int

    @abstractmethod
    def heads(self, features: Tensor, lengths: Tensor) -> list[Tensor]:
        """Return the log-probabilities of every output, the model's own last.

        Those before it, if any, come from inner layers and serve only the intermediate CTC loss
        (Lee and Watanabe, ICASSP 2021).

        Args:
            features: ``(batch, frames, bins)`` float32.
            lengths: ``(batch,)`` int64, frames of each utterance; on the CPU, so that reading
                them does not wait for a GPU.

        Returns:
            ``(batch, output_frames, symbols)`` float32 each.
        """

    @abstractmethod
    def classifiers(self) -> list[nn.Linear]:
        """Return the layers with a row for each symbol, one for each of `heads`."""

    @abstractmethod
    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return the parts of the model in order, named, for its summary."""

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return the output frames for ``lengths`` feature frames: rounded up."""
        return (lengths + self.subsampling - 1) // self.subsampling

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probabilities ``(batch, output_frames, symbols)`` and their lengths."""
        return self.heads(features, lengths)[-1], self.output_lengths(lengths)
