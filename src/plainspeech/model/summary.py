"""A model stage by stage: shapes, parameters, cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from plainspeech.model.base import AcousticModel


@dataclass(frozen=True)
class Stage:
    """One row of a summary.

    Attributes:
        name: as the model calls it.
        output: shape of what it returns for one utterance, without the batch.
        parameters: weights and biases.
        recurrent_parameters: of these, those of GRUs and LSTMs.
        multiply_adds: for one utterance, of convolutions, matrix products and recurrences;
            elementwise work is not counted.
    """

    name: str
    output: tuple[int, ...]
    parameters: int
    recurrent_parameters: int
    multiply_adds: int


def summarise(model: AcousticModel, bins: int, frames: int) -> list[Stage]:
    """Run ``model`` on one utterance of silence and describe every stage it passes.

    Args:
        model: whose `AcousticModel.stages` are described; it is left in its mode.
        bins: of the features.
        frames: of the utterance.
    """
    shapes: dict[nn.Module, torch.Size] = {}
    costs: dict[nn.Module, int] = {}

    def note(module: nn.Module, _: Any, output: Any) -> None:
        output = output[0] if isinstance(output, tuple) else output
        shapes[module] = output.shape[1:]
        costs[module] = costs.get(module, 0) + _multiply_adds(module, output)

    _run_with_hooks(model, note, torch.zeros(1, frames, bins))
    return [
        Stage(
            name=name,
            output=tuple(shapes[stage]),
            parameters=_count(stage),
            recurrent_parameters=sum(
                _count(part) for part in stage.modules() if isinstance(part, nn.RNNBase)
            ),
            multiply_adds=sum(costs.get(part, 0) for part in stage.modules()),
        )
        for name, stage in model.stages()
    ]


def _run_with_hooks(
    model: AcousticModel, hook: Callable[[nn.Module, Any, Any], None], features: Tensor
) -> None:
    handles = [module.register_forward_hook(hook) for module in model.modules()]
    training = model.training
    try:
        with torch.inference_mode():
            model.eval()(features, torch.tensor([features.shape[1]]))
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()


def _count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def _multiply_adds(module: nn.Module, output: Tensor) -> int:
    """Return the cost of a layer: its matrix or kernel, once at every place of its output."""
    if isinstance(module, nn.Conv1d | nn.Conv2d):
        channels = output.shape[1]
    elif isinstance(module, nn.Linear | nn.RNNBase):
        channels = output.shape[-1]
    else:
        return 0
    matrices = sum(weight.numel() for weight in module.parameters() if weight.ndim > 1)
    return matrices * (output.numel() // channels)
