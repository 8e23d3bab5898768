"""Padded batches: copies to a device, masks, and reversal in time."""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return ``tensor``, of the CPU, on ``device``, without waiting for the work queued there."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def mask(lengths: Tensor, frames: int, device: torch.device | None = None) -> Tensor:
    """Return ``(batch, frames)`` bool, true where a frame belongs to the utterance.

    Args:
        lengths: ``(batch,)`` int64, frames of each utterance.
        frames: frames of the padded batch.
        device: where the mask is wanted; that of ``lengths`` by default.
    """
    lengths = lengths.to(device or lengths.device, non_blocking=True)  # few enough not to wait
    return torch.arange(frames, device=lengths.device)[None, :] < lengths[:, None]


def reverse(x: Tensor, lengths: Tensor) -> Tensor:
    """Return ``x`` with the frames of each utterance in reverse order and its padding in place.

    A recurrence over the result reads an utterance from its true end and never its padding; the
    function is its own inverse.

    Args:
        x: ``(batch, frames, channels)``.
        lengths: ``(batch,)`` int64.
    """
    places = torch.arange(x.shape[1], device=x.device)[None, :]
    mirrored = lengths.to(x.device)[:, None] - 1 - places
    index = torch.where(mirrored >= 0, mirrored, places)
    return x.gather(1, index[:, :, None].expand(-1, -1, x.shape[2]))
