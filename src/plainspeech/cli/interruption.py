"""How a command ends that is interrupted: as a shell has it for a process that the signal ended.

Ctrl-C (SIGINT) gives exit status 130, SIGTERM 143, also to commands that keep what they have done.
Most leave the latter to the system. ``listen`` and ``serve``, which go on until they are told to
end, end with status 0 then, once they have begun.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from plainspeech.errors import PlainspeechError

_CTRL_C = 128 + signal.SIGINT
_SECONDS_UNTIL_SENT = 0.001


class Interrupted(PlainspeechError):  # noqa: N818  # nothing went wrong
    """A command was interrupted, and says what it has kept.

    Args:
        message: for the user.
        number: of the signal.

    Attributes:
        status: the exit status.
    """

    def __init__(self, message: str, number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.status = 128 + number


@contextmanager
def ended_by_interrupts() -> Iterator[None]:
    """End the process with status 130 where Ctrl-C comes in the block.

    While libsndfile has Python read a file for it, Ctrl-C waits: an exception cannot pass through
    it, and would be taken for the end of the file.

    Raises:
        SystemExit: it came.
    """
    before, waiting = signal.getsignal(signal.SIGINT), False

    def interrupt(_: int, frame: FrameType | None) -> None:
        nonlocal waiting
        waiting = _reads_for_libsndfile(frame)
        if not waiting:
            raise KeyboardInterrupt
        again = threading.Timer(_SECONDS_UNTIL_SENT, signal.raise_signal, [signal.SIGINT])
        again.daemon = True
        again.start()

    handled = before is signal.default_int_handler  # and not ignored, as in the background
    if handled:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(_CTRL_C)
    except SystemExit:
        if waiting:
            sys.exit(_CTRL_C)
        raise
    finally:
        if handled:
            signal.signal(signal.SIGINT, before)


@dataclass
class Signalled:
    """Which signal interrupted.

    Attributes:
        number: of it; that of Ctrl-C until SIGTERM comes.
    """

    number: int = signal.SIGINT

    @property
    def status(self) -> int:
        """The exit status."""
        return 128 + self.number


@contextmanager
def interrupted_by_sigterm() -> Iterator[Signalled]:
    """Have SIGTERM interrupt the block as Ctrl-C does.

    A command that a shell runs in the background ignores Ctrl-C.

    Raises:
        KeyboardInterrupt: it came.
    """
    signalled = Signalled()

    def interrupt(number: int, _: FrameType | None) -> None:
        signalled.number = number
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield signalled
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """End the process with status 143 where SIGTERM comes in the block.

    The system does as much, but not for the first process of a container.

    Raises:
        SystemExit: it came.
    """

    def end(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _reads_for_libsndfile(frame: FrameType | None) -> bool:
    """Return whether ``frame`` is, or is called by, one of soundfile's callbacks."""
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if name == "soundfile" and frame.f_code.co_name.startswith("vio_"):
            return True
        frame = frame.f_back
    return False
