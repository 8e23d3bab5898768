"""Where and in which precision to compute."""

from __future__ import annotations

import torch

from plainspeech.errors import ConfigurationError


def choose_device(name: str) -> torch.device:
    """Return the device called ``name``; ``"auto"`` is the first GPU if there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(f"--device {name} cannot be used: {reason}") from error
    if device.type == "cuda":
        # What mixed precision leaves in float32 is computed in TF32.
        torch.set_float32_matmul_precision("high")
    return device


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
