from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainspeech.training.state import learning_rate

runs = st.tuples(st.floats(0, 5), st.floats(0.5, 100)).map(lambda pair: (pair[0], sum(pair)))


def test_corners() -> None:
    assert learning_rate(2.0, 0.0, 4.0, 10.0) == 0.0
    assert learning_rate(2.0, 1.0, 4.0, 10.0) == 0.5
    assert learning_rate(2.0, 4.0, 4.0, 10.0) == 2.0
    assert learning_rate(2.0, 7.0, 4.0, 10.0) == pytest.approx(1.0)
    assert learning_rate(2.0, 10.0, 4.0, 10.0) == pytest.approx(0.0)


def test_without_warm_up_it_starts_at_the_peak() -> None:
    assert learning_rate(2.0, 0.0, 0.0, 10.0) == 2.0


def test_a_run_that_is_all_warm_up_ends_at_the_peak() -> None:
    assert learning_rate(2.0, 3.0, 3.0, 3.0) == 2.0


@given(runs, st.floats(0, 1))
def test_it_stays_between_zero_and_the_peak(run: tuple[float, float], place: float) -> None:
    warmup, epochs = run
    assert 0 <= learning_rate(1e-3, place * epochs, warmup, epochs) <= 1e-3


@given(runs)
def test_it_rises_and_then_falls(run: tuple[float, float]) -> None:
    warmup, epochs = run
    places = [epochs * part / 50 for part in range(51)]
    for left, right in itertools.pairwise(places):
        before, after = (learning_rate(1.0, place, warmup, epochs) for place in (left, right))
        if right <= warmup:
            assert after >= before
        elif left >= warmup:
            assert after <= before
