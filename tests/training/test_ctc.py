from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from plainspeech.alphabet import ctc_frames_needed
from plainspeech.training.step import ctc_loss

SYMBOLS = 4
BLANK = 3


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).log_softmax(-1)


def loss_of(log_probabilities: Tensor, target: list[int]) -> Tensor:
    frames = torch.tensor([log_probabilities.shape[0]])
    targets = torch.tensor([target], dtype=torch.int64).reshape(1, -1)
    return ctc_loss(log_probabilities[None], frames, targets, torch.tensor([len(target)]))[0]


def test_losses_of_all_targets_are_probabilities_that_add_up_to_one() -> None:
    """Each path of four frames writes one of the targets of up to four symbols."""
    log_probabilities = noise(4, SYMBOLS)
    targets = [t for n in range(5) for t in itertools.product(range(BLANK), repeat=n)]
    total = sum(math.exp(-float(loss_of(log_probabilities, list(target)))) for target in targets)
    assert total == pytest.approx(1, rel=1e-5)


def test_one_path_by_hand() -> None:
    log_probabilities = noise(3, SYMBOLS)
    path = float(log_probabilities[0, 1] + log_probabilities[1, BLANK] + log_probabilities[2, 1])
    assert float(loss_of(log_probabilities, [1, 1])) == pytest.approx(-path, rel=1e-6)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=8), st.integers(1, 8))
def test_the_loss_is_infinite_exactly_where_frames_are_too_few(
    target: list[int], frames: int
) -> None:
    finite = bool(torch.isfinite(loss_of(noise(frames, SYMBOLS), target)))
    assert finite == (frames >= ctc_frames_needed(target))


def test_the_paddings_of_frames_and_targets_have_no_part() -> None:
    short, long = noise(3, SYMBOLS), noise(6, SYMBOLS)
    batch = torch.full((2, 6, SYMBOLS), float("nan"))
    batch[0, :3], batch[1] = short, long
    targets = torch.tensor([[0, 1, 2, 2], [1, 2, 0, 1]])
    losses = ctc_loss(batch, torch.tensor([3, 6]), targets, torch.tensor([2, 4]))
    expected = [float(loss_of(short, [0, 1])), float(loss_of(long, [1, 2, 0, 1]))]
    assert losses.tolist() == pytest.approx(expected, rel=1e-6)


def test_gradients_lead_towards_the_target() -> None:
    scores = torch.zeros(6, SYMBOLS, requires_grad=True)
    optimiser = torch.optim.SGD([scores], lr=1.0)
    for _ in range(100):
        optimiser.zero_grad()
        loss = loss_of(scores.log_softmax(-1), [0, 2, 2])
        torch.autograd.backward(loss)
        optimiser.step()
    assert float(loss.detach()) < 0.1
    written = [s for s, _ in itertools.groupby(scores.argmax(-1).tolist()) if s != BLANK]
    assert written == [0, 2, 2]


def test_types_are_brought_to_those_that_no_other_kernel_takes() -> None:
    """Whatever they are, and also within autocast."""
    log_probabilities = noise(2, 5, SYMBOLS)
    targets, ones = torch.tensor([[0, 1], [2, 0]]), torch.ones(2, dtype=torch.int64)
    expected = ctc_loss(log_probabilities.bfloat16().float(), 5 * ones, targets, 2 * ones)
    with torch.autocast("cpu", torch.bfloat16):
        found = ctc_loss(
            log_probabilities.bfloat16(), (5 * ones).int(), targets.int(), (2 * ones).int()
        )
    assert found.dtype is torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
