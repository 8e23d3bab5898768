"""A pool whose caller computes while it waits."""

from __future__ import annotations

import threading
from random import Random
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainspeech.runtime.helped_pool import HelpedPool


@given(items=st.lists(st.integers()), threads=st.integers(1, 3), order=st.randoms())
@settings(max_examples=40)
def test_every_result_is_that_of_its_item(items: list[int], threads: int, order: Random) -> None:
    def following(item: int) -> int:
        return item + 1

    with HelpedPool(following, threads) as pool:
        tasks = [pool.begin(item) for item in items]
        places = list(range(len(items)))
        order.shuffle(places)
        found = {place: tasks[place].result() for place in places}
    assert [found[place] for place in range(len(items))] == [item + 1 for item in items]


def test_the_caller_computes_what_nobody_has_begun() -> None:
    """The other thread is kept busy by the first until the last is done, by this one."""
    last_is_done, by = Event(), dict[str, int]()

    def compute(item: str) -> None:
        if item == "first":
            assert last_is_done.wait(60)
        by[item] = threading.get_ident()
        if item == "last":
            last_is_done.set()

    with HelpedPool(compute, 2) as pool:
        tasks = [pool.begin(item) for item in ("first", "second", "last")]
        while not tasks[0].future.running():
            pass
        for task in tasks:
            task.result()
    assert by["first"] != threading.get_ident()
    assert by["second"] == by["last"] == threading.get_ident()


def test_with_one_thread_the_caller_computes_in_order() -> None:
    done: list[int] = []
    with HelpedPool(done.append, 1) as pool:
        tasks = [pool.begin(item) for item in range(3)]
        assert done == []
        tasks[1].result()
        assert done == [0, 1]


def test_an_error_is_that_of_its_item() -> None:
    def invert(item: int) -> float:
        return 1 / item

    with HelpedPool(invert, 1) as pool:
        wrong, right = pool.begin(0), pool.begin(2)
        assert right.result() == 0.5
        with pytest.raises(ZeroDivisionError):
            wrong.result()


def test_what_is_cancelled_is_not_computed() -> None:
    done: list[int] = []
    with HelpedPool(done.append, 1) as pool:
        first, second = pool.begin(1), pool.begin(2)
        first.cancel()
        second.result()
    assert done == [2]
