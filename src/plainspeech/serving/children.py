"""Child processes: forked, told things through a pipe, and replaced when they end.

A fork shares every page of memory with its parent until one of them writes to it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, Pipe, wait
from typing import NoReturn

READY, FAILED = "ready ", "failed "
"""What a child says: with the name of its model, or with the reason."""

RETIRE, STOP = "retire", "stop"
"""What it is told: to take no more connections and end when those it has are done; and to drain."""


class Child:
    """A process that runs a function and ends.

    Args:
        run: takes the child's end of a pipe; the process fails if it raises.
        others: whose ends of pipes the child must not keep open, or their processes would not
            notice the death of this one.

    Attributes:
        pid: of the process.
        pipe: to it; whoever holds the other end notices when this process dies.
        ended: whether it is no more.
    """

    def __init__(self, run: Callable[[Connection], None], others: Sequence[Connection]) -> None:
        self.pipe, theirs = Pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            _child(run, theirs, [self.pipe, *others])
        theirs.close()
        self.ended = False

    def tell(self, message: str) -> None:
        """Send it ``message``, if it is still there."""
        with suppress(OSError):
            self.pipe.send(message)

    def said(self) -> str | None:
        """Return what it has sent, None if that is nothing."""
        with suppress(OSError, EOFError):
            if self.pipe.poll():
                return str(self.pipe.recv())
        return None

    def has_ended(self) -> bool:
        """Return whether it is no more; what it said last can still be read."""
        self.ended = self.ended or os.waitpid(self.pid, os.WNOHANG)[0] != 0
        return self.ended

    def kill(self) -> None:
        """End it at once."""
        if not self.ended:
            os.kill(self.pid, signal.SIGKILL)


def _child(
    run: Callable[[Connection], None], pipe: Connection, others: Sequence[Connection]
) -> NoReturn:
    """Be the child."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        for other in others:
            other.close()
        run(pipe)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)  # what the parent would do at its end is not for the child to do


class Signals:
    """Signals of this process as a queue; `wait` waits for them and for pipes."""

    def __init__(self) -> None:
        self._arrived: list[int] = []

    @contextmanager
    def noted(self, *numbers: int) -> Iterator[None]:
        """Note these signals in place of what else they would do, until the block ends."""
        self._end, written = socket.socketpair()
        with self._end, written:
            self._end.setblocking(False)
            written.setblocking(False)
            before = {number: signal.signal(number, self._note) for number in numbers}
            descriptor = signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
            try:
                yield
            finally:
                signal.set_wakeup_fd(descriptor)
                for number, handler in before.items():
                    signal.signal(number, handler)

    def wait(self, pipes: Sequence[Connection], timeout: float | None = None) -> list[int]:
        """Wait until a signal or a message arrives, or ``timeout`` seconds; return the signals."""
        wait([self._end, *pipes], timeout)
        with suppress(BlockingIOError):
            self._end.recv(4096)
        arrived, self._arrived = self._arrived, []
        return arrived

    def _note(self, number: int, frame: object) -> None:
        self._arrived.append(number)
