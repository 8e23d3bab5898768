from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from plainspeech.data.loading import dealt, plan_epoch

corpora = st.lists(st.floats(0.1, 35), max_size=60)
limits = st.floats(1, 200)
seeds = st.integers(0, 2**31)
epochs = st.integers(0, 40)
LIBRI = [2 + (index * 37 % 150) / 10 for index in range(300)]
"""Seconds of 300 utterances, from 2 to 17."""


@given(corpora, limits, seeds, epochs)
def test_every_utterance_is_in_one_batch(
    durations: list[float], limit: float, seed: int, epoch: int
) -> None:
    plan = plan_epoch(durations, limit, seed, epoch)
    assert sorted(index for batch in plan for index in batch) == list(range(len(durations)))
    assert all(plan)


@given(corpora, limits, seeds, epochs)
def test_no_batch_is_larger_than_asked_for_unless_by_its_one_utterance(
    durations: list[float], limit: float, seed: int, epoch: int
) -> None:
    for batch in plan_epoch(durations, limit, seed, epoch):
        padded = max(durations[index] for index in batch) * len(batch)
        assert padded <= limit or len(batch) == 1


@given(corpora, limits, seeds, epochs)
def test_a_plan_is_a_function_of_its_arguments(
    durations: list[float], limit: float, seed: int, epoch: int
) -> None:
    first = plan_epoch(durations, limit, seed, epoch)
    plan_epoch(durations, limit, seed + 1, epoch + 1)  # no state is left of this
    assert plan_epoch(durations, limit, seed, epoch) == first


@given(seeds, epochs)
def test_epochs_and_seeds_differ_in_batches_and_order(seed: int, epoch: int) -> None:
    plans = [
        plan_epoch(LIBRI, 100, seed, epoch),
        plan_epoch(LIBRI, 100, seed, epoch + 1),
        plan_epoch(LIBRI, 100, seed + 1, epoch),
    ]
    together = [frozenset(map(frozenset, plan)) for plan in plans]
    assert len(set(together)) == 3


@given(seeds)
def test_the_first_epoch_runs_from_short_to_long(seed: int) -> None:
    longest = [max(LIBRI[i] for i in batch) for batch in plan_epoch(LIBRI, 100, seed, 0)]
    # Durations are jittered by 5 % either way before they are sorted.
    assert all(after >= before * 0.9 for before, after in itertools.pairwise(longest))
    assert longest[0] < 4 < 16 < longest[-1]


@given(seeds, st.integers(1, 40))
def test_later_epochs_are_shuffled(seed: int, epoch: int) -> None:
    longest = [max(LIBRI[i] for i in batch) for batch in plan_epoch(LIBRI, 100, seed, epoch)]
    assert any(after < before * 0.9 for before, after in itertools.pairwise(longest))


@given(seeds, epochs)
def test_little_of_a_batch_is_padding(seed: int, epoch: int) -> None:
    plan = plan_epoch(LIBRI, 160, seed, epoch)
    padded = sum(max(LIBRI[i] for i in batch) * len(batch) for batch in plan)
    assert sum(LIBRI) > 0.85 * padded


@given(corpora, limits, seeds, epochs, st.integers(1, 9), st.integers(1, 9))
def test_processes_share_every_batch_without_overlap_or_gap(
    durations: list[float], limit: float, seed: int, epoch: int, parts: int, processes: int
) -> None:
    for batch in plan_epoch(durations, limit, seed, epoch):
        split = dealt(batch, max(parts, processes))
        assert max(map(len, split)) - min(map(len, split)) <= 1
        assert len(split[0]) == max(map(len, split)) > 0
        shares = [split[rank::processes] for rank in range(processes)]
        own = [[index for part in share for index in part] for share in shares]
        assert sorted(index for share in own for index in share) == sorted(batch)
