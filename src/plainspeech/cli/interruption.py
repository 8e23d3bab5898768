"""How a command ends that is interrupted: as a shell has it for a process that the signal ended.

Ctrl-C (SIGINT) gives exit status 130, SIGTERM 143, also to commands that keep what they have done.
Most leave both to Python and the system. ``listen`` and ``serve``, which go on until they are told
to end, end with status 0.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from plainspeech.errors import PlainspeechError

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

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

    It may come while a C library has Python called: Python tells `sys.unraisablehook` then, and the
    library is told nothing, which libsndfile takes for the end of a file. It is sent again.

    Raises:
        SystemExit: it came.
    """
    before, lost = sys.unraisablehook, False

    def repeat(what: UnraisableHookArgs) -> None:
        nonlocal lost
        if not issubclass(what.exc_type, KeyboardInterrupt):
            before(what)
            return
        lost = True
        again = threading.Timer(_SECONDS_UNTIL_SENT, signal.raise_signal, [signal.SIGINT])
        again.daemon = True
        again.start()

    sys.unraisablehook = repeat
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(_CTRL_C)
    except SystemExit:
        if lost:
            sys.exit(_CTRL_C)
        raise
    finally:
        sys.unraisablehook = before
