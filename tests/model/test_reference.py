from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from plainspeech.model.reference import Reference

TABLE = [
    ((32, 64, 672), 320),
    ((32, 64, 672), 2 * (128 + 9_248)),
    ((32, 64, 672), 2 * (128 + 9_248)),
    ((32, 64, 672), 2 * (128 + 9_248)),
    ((672, 512), 1_049_088),
    ((672, 1024), 1_024 + 3_151_872),
    ((672, 1024), 2_048 + 4_724_736),
    ((672, 1024), 2_048 + 4_724_736),
    ((672, 1024), 2_048 + 4_724_736),
    ((672, 1024), 2_048 + 4_724_736),
    ((672, 512), 524_800),
    ((672, 29), 14_877),
]
HALF_BLOCK = [nn.LayerNorm, nn.GELU, nn.Dropout, nn.Conv2d]
RECURRENT_LAYER = [nn.LayerNorm, nn.GELU, nn.GRU, nn.GRU, nn.Dropout]
LAYERS = [
    nn.Conv2d,
    *(3 * 2 * HALF_BLOCK),
    nn.Linear,
    *(5 * RECURRENT_LAYER),
    *(nn.Linear, nn.GELU, nn.Dropout),
    nn.Linear,
]


@pytest.fixture(scope="module")
def model() -> Reference:
    return Reference().eval()


@pytest.fixture(scope="module")
def calls(model: Reference) -> Iterator[list[tuple[nn.Module, torch.Size]]]:
    """Every module of one pass over 1344 frames, in order, with the shape of its output."""
    seen: list[tuple[nn.Module, torch.Size]] = []

    def note(module: nn.Module, _: Any, output: Any) -> None:
        output = output[0] if isinstance(output, tuple) else output
        seen.append((module, output.shape))

    handles = [module.register_forward_hook(note) for module in model.modules()]
    with torch.inference_mode():
        model(torch.zeros(1, 1344, 128), torch.tensor([1344]))
    yield seen
    for handle in handles:
        handle.remove()


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def test_stages_have_the_shapes_and_counts_of_the_table(
    model: Reference, calls: list[tuple[nn.Module, torch.Size]]
) -> None:
    shapes = dict(calls)
    rows = [(tuple(shapes[stage][1:]), parameters(stage)) for _, stage in model.stages()]
    assert rows == TABLE


def test_stages_run_in_the_order_they_are_listed(
    model: Reference, calls: list[tuple[nn.Module, torch.Size]]
) -> None:
    stages = [stage for _, stage in model.stages()]
    assert [module for module, _ in calls if module in stages] == stages


def test_layers_run_in_the_order_of_the_table(
    calls: list[tuple[nn.Module, torch.Size]],
) -> None:
    leaves = [type(module) for module, _ in calls if not list(module.children())]
    assert leaves == LAYERS


def test_convolutions_are_those_of_the_table(model: Reference) -> None:
    first, *others = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert (first.in_channels, first.kernel_size, first.stride) == (1, (3, 3), (2, 2))
    assert {(c.in_channels, c.kernel_size, c.stride) for c in others} == {(32, (3, 3), (1, 1))}


def test_totals(model: Reference) -> None:
    recurrent = sum(parameters(m) for m in model.modules() if isinstance(m, nn.GRU))
    assert parameters(model) == 23_705_373
    assert parameters(model) - recurrent == 1_654_557


@pytest.mark.parametrize("frames", [1, 2, 7, 8])
def test_the_last_odd_frame_has_an_output(model: Reference, frames: int) -> None:
    with torch.inference_mode():
        output, lengths = model(torch.zeros(1, frames, 128), torch.tensor([frames]))
    assert output.shape == (1, (frames + 1) // 2, 29)
    assert lengths.tolist() == [(frames + 1) // 2]


def test_outputs_are_float32_log_probabilities_under_autocast(model: Reference) -> None:
    features = torch.randn(2, 9, 128, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        output, _ = model(features, torch.tensor([9, 4]))
    assert output.dtype == torch.float32
    # In bfloat16 the sums would be off by some 1e-2.
    torch.testing.assert_close(output.exp().sum(-1), torch.ones(2, 5), atol=1e-5, rtol=0)
