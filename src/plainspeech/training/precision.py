"""Whether and how to compute in mixed precision."""

from __future__ import annotations

import torch


def mixed_precision(wanted: str, device: torch.device) -> bool:
    """Return whether to compute in bfloat16 where that is safe.

    Args:
        wanted: ``"bf16"``, ``"fp32"``, or ``"auto"``: where the processor has instructions for it,
            since emulating it is slower than float32.
        device: where the model is.
    """
    if wanted != "auto":
        return wanted == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


def autocast(mixed: bool, device: torch.device) -> torch.autocast:
    """Return the context in which the model computes."""
    return torch.autocast(device.type, torch.bfloat16, enabled=mixed)
