from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from plainspeech.training.state import WeightAverage


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


def test_what_a_step_adds_fades_by_the_decay() -> None:
    linear = model(0.0)
    average = WeightAverage(linear, 0.9)
    found = []
    for step, value in enumerate([1.0, 0.0, 0.0, 2.0], start=1_000):
        set_to(linear, value)
        average.update(linear, step)
        assert len({float(weight) for t in average.weights.values() for weight in t.flatten()}) == 1
        found.append(float(average.weights["bias"][0]))
    assert found == pytest.approx([0.1, 0.09, 0.081, 0.2729])


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=20), st.floats(0, 0.999))
def test_it_stays_among_the_weights_that_there_were(values: list[float], decay: float) -> None:
    linear = model(values[0])
    average = WeightAverage(linear, decay)
    for step, value in enumerate(values, start=1):
        set_to(linear, value)
        average.update(linear, step)
    assert min(values) - 1e-5 <= float(average.weights["bias"][0]) <= max(values) + 1e-5


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
    with average.applied_to(linear):
        assert bias_of(linear) == 1.0
    assert bias_of(linear) == 3.0
    with pytest.raises(KeyboardInterrupt), average.applied_to(linear):
        raise KeyboardInterrupt
    assert bias_of(linear) == 3.0
    assert float(average.weights["bias"][0]) == 1.0


def test_a_saved_average_is_taken_up_as_a_copy() -> None:
    average, saved = WeightAverage(model(1.0), 0.9), WeightAverage(model(4.0), 0.9).weights
    average.restore(saved)
    saved["bias"].fill_(9.0)
    assert float(average.weights["bias"][0]) == 4.0
