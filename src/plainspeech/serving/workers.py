"""The workers of one model: forked from a process that has loaded it, and replaced when they die.

All have the same pages of weights, scorer, machine code and libraries; what each has of its own is
what it writes to. A worker whose parent dies drains and ends.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Protocol

from plainspeech.errors import PlainspeechError
from plainspeech.serving.children import FAILED, READY, STOP, Child, Signals

_PAUSE = 1.0  # seconds before the next worker where the last did not get ready
_LONGEST_PAUSE = 30.0


class Work(Protocol):
    """A loaded model, for one worker."""

    @property
    def name(self) -> str:
        """Of the model."""

    def serve(self, pipe: Connection) -> None:
        """Serve until told to end through ``pipe``; say `READY` there once it can."""

    def forget(self, pid: int) -> None:
        """Forget what a worker that is no more was doing at the moment."""


class Workers:
    """Keeps a number of workers, each a fork of this process.

    Args:
        work: that each does.
        count: of them.
        parent: says `READY` to it when all are, and is told by it.
        say: writes a line for the operator.
    """

    def __init__(
        self, work: Work, count: int, parent: Connection, say: Callable[[str], None]
    ) -> None:
        self._work = work
        self._count = count
        self._parent = parent
        self._say = say
        self._workers: list[Child] = []
        self._ready: set[int] = set()
        self._was_ready = False
        self._ending = False
        self._pause = 0.0
        self._next_start = 0.0  # on the clock of `time.monotonic`
        self._signals = Signals()

    def run(self) -> None:
        """Keep them until told to end, and end when they have."""
        gc.collect()
        gc.freeze()  # a collection would write to every page that holds an object
        # Who stops every process of a service at once stops the workers, too; they say when.
        with self._signals.noted(signal.SIGCHLD, signal.SIGTERM):
            while not self._ending or self._workers:
                self._fill()
                self._signals.wait(self._pipes(), self._seconds_to_wait())
                self._listen()
                self._bury()

    def _pipes(self) -> list[Connection]:
        pipes = [worker.pipe for worker in self._workers]
        return pipes if self._ending else [self._parent, *pipes]

    def _lacks(self) -> bool:
        return not self._ending and len(self._workers) < self._count

    def _seconds_to_wait(self) -> float | None:
        return max(0.0, self._next_start - time.monotonic()) if self._lacks() else None

    def _fill(self) -> None:
        while self._lacks() and time.monotonic() >= self._next_start:
            others = [self._parent, *(worker.pipe for worker in self._workers)]
            self._workers.append(Child(self._work.serve, others))

    def _listen(self) -> None:
        for worker in self._workers:
            if worker.said() is not None:
                self._ready.add(worker.pid)
                self._pause = 0.0
        if len(self._ready) == self._count and not self._was_ready:
            self._was_ready = True
            self._parent.send(READY + self._work.name)
        if not self._ending and self._parent.poll():
            self._end(_heard(self._parent))

    def _end(self, word: str) -> None:
        self._ending = True
        for worker in self._workers:
            worker.tell(word)

    def _bury(self) -> None:
        for worker in [worker for worker in self._workers if worker.has_ended()]:
            self._workers.remove(worker)
            worker.pipe.close()
            self._work.forget(worker.pid)
            was_ready = worker.pid in self._ready
            self._ready.discard(worker.pid)
            if self._ending:
                continue
            if not self._was_ready:
                sys.exit(1)  # the parent says that the model cannot be served
            if not was_ready:
                self._pause = min(max(_PAUSE, 2 * self._pause), _LONGEST_PAUSE)
            self._next_start = time.monotonic() + self._pause
            self._say(f"worker {worker.pid} died; another takes its place")


def keep_workers(
    load: Callable[[], Work], count: int, parent: Connection, say: Callable[[str], None]
) -> None:
    """Load a model, and keep ``count`` workers that serve it until told to end by ``parent``.

    They are a process group of their own: Ctrl+C is for the parent, which tells them.
    """
    os.setsid()
    try:
        work = load()
    except PlainspeechError as error:
        parent.send(FAILED + str(error))
        sys.exit(1)
    Workers(work, count, parent, say).run()


def _heard(pipe: Connection) -> str:
    """Return what was sent; `STOP` from a process that is no more."""
    try:
        return str(pipe.recv())
    except (EOFError, OSError):
        return STOP
