"""Threads that compute, helped by the one that waits for them.

A pool of as many threads as there are cores, beside one that reads, has one thread too many: they
take turns on the cores and the interpreter's lock, which costs a tenth of the time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import Generic, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class HelpedPool(Generic[_Item, _Result]):
    """Computes a function in several threads, one of which is that of the caller while it waits.

    To be used by one thread, as a context.

    Args:
        function: of an item.
        threads: that compute, the caller's included; with one, it does all.
    """

    def __init__(self, function: Callable[[_Item], _Result], threads: int) -> None:
        self._function = function
        self._others = threads - 1
        self._executor: Executor | None = None
        self._tasks: deque[Task[_Item, _Result]] = deque()  # that may not have begun
        self._stack = ExitStack()

    def __enter__(self) -> HelpedPool[_Item, _Result]:
        if self._others:
            self._executor = self._stack.enter_context(ThreadPoolExecutor(self._others))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def begin(self, item: _Item) -> Task[_Item, _Result]:
        """Return a task that another thread begins when it can."""
        future: Future[_Result] = Future()
        if self._executor:
            future = self._executor.submit(self._function, item)
        task = Task(self, item, future)
        self._tasks.append(task)
        return task

    def help(self) -> bool:
        """Compute the first task that no thread has begun; return whether there was one."""
        while self._tasks:
            task = self._tasks.popleft()
            if task.future.cancel() and not task.cancelled:
                task.future = _computed(self._function, task.item)
                return True
        return False


class Task(Generic[_Item, _Result]):
    """A result that is being computed.

    Args:
        pool: that it is a task of.
        item: whose result it is.
        future: by the pool's threads.
    """

    def __init__(
        self, pool: HelpedPool[_Item, _Result], item: _Item, future: Future[_Result]
    ) -> None:
        self.item, self.future, self.cancelled = item, future, False
        self._pool = pool

    def result(self) -> _Result:
        """Return it; while it is not there, compute others that nobody has begun."""
        while not self.future.done() and self._pool.help():
            pass
        return self.future.result()

    def cancel(self) -> None:
        """Do not begin it."""
        self.cancelled = True
        self.future.cancel()


def _computed(function: Callable[[_Item], _Result], item: _Item) -> Future[_Result]:
    """Return a future that is done."""
    future: Future[_Result] = Future()
    try:
        future.set_result(function(item))
    except Exception as error:  # it is raised where the result is asked for
        future.set_exception(error)
    return future
