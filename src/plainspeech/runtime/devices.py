"""Where a network runs: on the processor, or on a GPU by onnxruntime's provider for CUDA.

The provider comes with the package ``onnxruntime-gpu``, in place of ``onnxruntime``, and needs the
CUDA and cuDNN of its version. Where it is not there, or cannot be loaded, the processor computes.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from plainspeech.errors import ConfigurationError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

DEVICES = ("cpu", "cuda")

_CUDA = "CUDAExecutionProvider"
# Its default tries every algorithm for every new shape, and utterances have any length.
_CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC"}


class DeviceWarning(UserWarning):
    """The processor computes in place of the device that was asked for."""


def usable_device(name: str) -> str:
    """Return ``name``, or ``"cpu"`` with a `DeviceWarning` where onnxruntime has no provider.

    Raises:
        ConfigurationError: there is no such device.
    """
    if name not in DEVICES:
        raise ConfigurationError(f"unknown device {name!r}; choose {' or '.join(DEVICES)}")
    if name == "cuda":
        # Here, so that the command line starts without it.
        import onnxruntime

        if _CUDA not in onnxruntime.get_available_providers():
            _warn(
                "this onnxruntime has no provider for CUDA (install onnxruntime-gpu in its place)"
            )
            return "cpu"
    return name


def providers(device: str) -> list[Any]:
    """Return onnxruntime's providers for ``device``, the best first."""
    cuda = [(_CUDA, _CUDA_OPTIONS)] if device == "cuda" else []
    return [*cuda, "CPUExecutionProvider"]


def device_in_use(session: InferenceSession, wanted: str) -> str:
    """Return where ``session`` runs; a `DeviceWarning` where that is not what was ``wanted``.

    onnxruntime says nothing when a provider that is installed lacks its libraries or a GPU.
    """
    device = "cuda" if _CUDA in session.get_providers() else "cpu"
    if device != wanted:
        _warn("onnxruntime's provider for CUDA cannot be used (CUDA, cuDNN or the GPU is missing)")
    return device


def _warn(reason: str) -> None:
    warnings.warn(f"{reason}; the processor computes", DeviceWarning, stacklevel=4)
