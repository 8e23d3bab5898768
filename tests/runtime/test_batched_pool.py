from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from plainspeech.runtime.batched_pool import BatchedPool


def test_what_waits_is_computed_together_and_no_more_than_may_be() -> None:
    gate, batches = threading.Event(), list[list[int]]()

    def squares(items: Sequence[int]) -> list[int]:
        assert gate.wait(60)
        batches.append(list(items))
        return [item * item for item in items]

    pool = BatchedPool(squares, 4)
    futures = [pool.begin(item) for item in range(10)]
    gate.set()
    assert [future.result(60) for future in futures] == [item * item for item in range(10)]
    assert max(map(len, batches)) == 4
    assert [item for batch in batches for item in batch] == list(range(10))


def test_an_error_is_for_those_of_its_batch() -> None:
    def reciprocals(items: Sequence[int]) -> list[float]:
        return [1 / item for item in items]

    pool = BatchedPool(reciprocals, 1)
    failing, other = pool.begin(0), pool.begin(2)
    with pytest.raises(ZeroDivisionError):
        failing.result(60)
    assert other.result(60) == 0.5


def test_what_is_cancelled_is_not_computed() -> None:
    gate, computed = threading.Event(), list[int]()

    def noted(items: Sequence[int]) -> Sequence[int]:
        assert gate.wait(60)
        computed.extend(items)
        return items

    pool = BatchedPool(noted, 1)
    futures = [pool.begin(item) for item in range(3)]
    assert futures[1].cancel()
    gate.set()
    assert (futures[0].result(60), futures[2].result(60)) == (0, 2)
    assert computed == [0, 2]
