"""Work that is spread over cores."""

from __future__ import annotations

import threading

import pytest

from plainspeech.cores import available_cores, in_threads


@pytest.mark.parametrize("threads", [1, 2, 9])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_threads_return_what_one_returns(threads: int, count: int) -> None:
    assert in_threads(str, range(count), threads) == [str(number) for number in range(count)]


@pytest.mark.parametrize(("count", "threads"), [(1, 4), (3, 1)])
def test_what_one_thread_can_do_this_one_does(count: int, threads: int) -> None:
    found = in_threads(lambda _: threading.get_ident(), range(count), threads)
    assert set(found) == {threading.get_ident()}


def test_there_is_a_core() -> None:
    assert available_cores() >= 1
