from __future__ import annotations

import pytest
import torch
from torch import nn

from plainspeech.training.averaging import WeightAverage


def model(value: float) -> nn.Linear:
    linear = nn.Linear(2, 3)
    set_to(linear, value)
    return linear


def set_to(linear: nn.Linear, value: float) -> None:
    with torch.no_grad():
        for weight in linear.parameters():
            weight.fill_(value)


def bias_of(linear: nn.Linear) -> float:
    return float(linear.bias.detach()[0])


def test_it_starts_with_the_weights_and_does_not_follow_them() -> None:
    linear = model(2.0)
    average = WeightAverage(linear, 0.9)
    set_to(linear, 5.0)
    assert {float(t.mean()) for t in average.weights.values()} == {2.0}


def test_each_step_moves_it_by_the_rule() -> None:
    linear, by_hand = model(1.0), 1.0
    average = WeightAverage(linear, 0.5)
    for step in range(1, 30):
        set_to(linear, float(step))
        average.update(linear, step)
        keep = min(0.5, step / (step + 9))
        by_hand = keep * by_hand + (1 - keep) * step
    for weights in average.weights.values():
        torch.testing.assert_close(weights, torch.full_like(weights, by_hand))


def test_early_steps_forget_the_random_start() -> None:
    linear = model(1000.0)
    average = WeightAverage(linear, 0.998)
    set_to(linear, 0.0)
    for step in range(1, 11):
        average.update(linear, step)
    assert float(average.weights["bias"][0]) < 0.1  # with 0.998 from the start: 980


def test_weights_that_stay_are_their_own_average() -> None:
    linear = model(0.1)
    average = WeightAverage(linear, 0.9)
    for step in range(1, 50):
        average.update(linear, step)
    torch.testing.assert_close(average.weights["weight"], linear.weight.detach())


def test_a_model_that_borrows_the_average_gets_its_own_weights_back() -> None:
    linear = model(1.0)
    average = WeightAverage(linear, 0.9)
    set_to(linear, 3.0)
    with average.lent_to(linear):
        assert bias_of(linear) == 1.0
    assert bias_of(linear) == 3.0
    with pytest.raises(KeyboardInterrupt), average.lent_to(linear):
        raise KeyboardInterrupt
    assert bias_of(linear) == 3.0
    assert float(average.weights["bias"][0]) == 1.0


def test_a_saved_average_is_taken_up_as_a_copy() -> None:
    average, saved = WeightAverage(model(1.0), 0.9), WeightAverage(model(4.0), 0.9).weights
    average.restore(saved)
    saved["bias"].fill_(9.0)
    assert float(average.weights["bias"][0]) == 4.0
