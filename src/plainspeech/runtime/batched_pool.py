"""A thread that computes what is waiting several at a time, for a device that is faster so."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class BatchedPool(Generic[_Item, _Result]):
    """Computes a function of many items in one thread; any thread may bring them.

    Args:
        function: of items, in order.
        most: items at a time.
    """

    def __init__(self, function: Callable[[Sequence[_Item]], Sequence[_Result]], most: int) -> None:
        self._function = function
        self._most = most
        self._waiting: deque[tuple[_Item, Future[_Result]]] = deque()
        self._thread = ThreadPoolExecutor(1, "batches")

    def begin(self, item: _Item) -> Future[_Result]:
        """Return the result of ``item``, which is computed with whatever else is waiting then."""
        future: Future[_Result] = Future()
        self._waiting.append((item, future))
        self._thread.submit(self._run)
        return future

    def _run(self) -> None:
        batch: list[tuple[_Item, Future[_Result]]] = []
        while self._waiting and len(batch) < self._most:
            item, future = self._waiting.popleft()
            if future.set_running_or_notify_cancel():
                batch.append((item, future))
        if not batch:  # an earlier run took it
            return
        try:
            results = self._function([item for item, _ in batch])
        except Exception as error:  # it is raised where a result is asked for
            for _, future in batch:
                future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            future.set_result(result)
