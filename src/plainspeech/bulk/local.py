"""The local engine: worker processes on this machine, each with a recording at a time.

A worker that dies, by a fault in a library or for want of memory, is replaced, and its recording is
tried again; which one it was is known, since it has only one.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext

from plainspeech.bulk.items import planned
from plainspeech.bulk.work import ATTEMPTS, Item, Outcome, Transcribe
from plainspeech.errors import ConfigurationError, PlainspeechError

_PATIENCE = 5.0  # seconds for a worker to end by itself


class LocalEngine:
    """Worker processes on this machine.

    Args:
        make: makes what a worker does, in the worker; picklable.
        workers: their number, at least 1.

    Attributes:
        workers: that there are.
    """

    def __init__(self, make: Callable[[], Transcribe], workers: int) -> None:
        self._make = make
        self._count = workers
        # A fork would copy the locks of threads that are not there any more.
        self._context = multiprocessing.get_context("spawn")
        self.workers: list[Worker] = []
        self._waiting: deque[Item] = deque()
        self._deaths: Counter[str] = Counter()  # of workers, by the ids of what they worked at
        self._failed_starts = 0  # since the last that was none

    def run(self, items: Iterable[Item]) -> Generator[Outcome, None, None]:
        """Yield the outcomes of ``items`` as they come; closing the generator ends the workers.

        Raises:
            PlainspeechError: the model cannot be loaded, or workers die while they load it.
        """
        self._waiting = deque(planned(items, self._count))
        try:
            for _ in range(min(self._count, len(self._waiting))):
                self.workers.append(Worker(self._context, self._make))
            while self._waiting or any(worker.item for worker in self.workers):
                yield from self._next_outcomes()
        finally:
            for worker in self.workers:
                worker.stop()

    def _next_outcomes(self) -> Generator[Outcome, None, None]:
        """Wait until a worker says something, and give it the next item."""
        ready = wait([worker.connection for worker in self.workers])
        for worker in [each for each in self.workers if each.connection in ready]:
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                yield from self._replace(worker)
                continue
            if isinstance(message, PlainspeechError):
                raise message
            self._failed_starts = 0
            worker.item = None
            if self._waiting:
                worker.begin(self._waiting.popleft())
            if message is not None:
                yield message

    def _replace(self, dead: Worker) -> Generator[Outcome, None, None]:
        """Start a worker in place of a dead one; its item is next, or has failed."""
        self.workers.remove(dead)
        how, item = dead.end(), dead.item
        if item is None:
            self._failed_starts += 1
            if self._failed_starts == ATTEMPTS:
                raise ConfigurationError(
                    f"--workers: {ATTEMPTS} in a row ended while they loaded the model ({how}); "
                    f"take fewer if the memory does not suffice"
                )
        else:
            self._deaths[item.id] += 1
            if self._deaths[item.id] < ATTEMPTS:
                self._waiting.appendleft(item)
            else:
                reason = f"its worker died at each of {ATTEMPTS} attempts ({how})"
                yield Outcome(item.id, item.audio, error=f"{item.audio}: {reason}")
        if self._waiting:
            self.workers.append(Worker(self._context, self._make))


class Worker:
    """A process that transcribes.

    Args:
        context: to start it.
        make: makes what it does, in the process.

    Attributes:
        connection: by which it says that it is ready (None), and then gives outcomes.
        item: that it works at.
        pid: of the process.
    """

    def __init__(self, context: SpawnContext, make: Callable[[], Transcribe]) -> None:
        self.connection, theirs = context.Pipe()
        self.item: Item | None = None
        self._process = context.Process(target=_work, args=(theirs, make), daemon=True)
        self._process.start()
        self.pid = int(self._process.pid or 0)
        theirs.close()

    def begin(self, item: Item) -> None:
        """Give it ``item``; if it has died meanwhile, its connection says so later."""
        self.item = item
        with contextlib.suppress(OSError):
            self.connection.send(item)

    def stop(self) -> None:
        """End it, at once where it works at something."""
        self.connection.close()
        if self.item is not None:
            self._process.kill()
        self._process.join(_PATIENCE)
        if self._process.is_alive():
            self._process.kill()
        self._process.join()

    def end(self) -> str:
        """Wait until it has ended; say how."""
        self.connection.close()
        self._process.join(_PATIENCE)
        self._process.kill()
        self._process.join()
        code = self._process.exitcode or 0
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"exit status {code}"


def _work(connection: Connection, make: Callable[[], Transcribe]) -> None:
    """Transcribe what comes by ``connection`` until its other end is closed, or has died."""
    # Ctrl+C goes to all; who started the workers ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, OSError):
        try:
            transcribe = make()
        except PlainspeechError as error:
            connection.send(error)
            return
        connection.send(None)
        while True:
            connection.send(transcribe(connection.recv()))
