"""A server of several processes behind one port, whose model can be replaced while it serves.

The supervisor holds the port and has no model. For each model there is a child that loads it and
keeps the workers (`plainspeech.serving.workers`), which accept connections in turn. SIGHUP brings
up such a child with the files that are there now; when its workers can serve, the old ones take no
more connections, and end when those that they have are done. Where it cannot be loaded, the old
ones stay.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection

from plainspeech.errors import ConfigurationError, ModelError
from plainspeech.serving.children import FAILED, READY, RETIRE, STOP, Child, Signals

_PAUSE = 1.0  # seconds before a model that could not be served is loaded again, where none is there


class Supervisor:
    """Keeps the workers of the newest model.

    Args:
        keep: loads the model and keeps workers until told to end through the pipe; run in a child.
        say: writes a line for the operator.

    Raises:
        ConfigurationError: this system cannot fork.
    """

    def __init__(self, keep: Callable[[Connection], None], say: Callable[[str], None]) -> None:
        if not hasattr(os, "fork"):
            raise ConfigurationError("--workers: this system has no fork; leave the option out")
        self._keep = keep
        self._say = say
        self._current: Child | None = None
        self._coming: Child | None = None
        self._leaving: list[Child] = []
        self._reason: str | None = None  # why the one that is coming fails
        self._wanted = True  # another generation
        self._not_before = 0.0  # on the clock of `time.monotonic`
        self._stopping = False
        self._signals = Signals()

    def run(self, started: Callable[[str], None]) -> None:
        """Serve until SIGTERM or SIGINT, then drain; a second signal ends everything at once.

        Args:
            started: told the name of the model when the first workers can serve.

        Raises:
            ModelError: the first model cannot be served.
        """
        numbers = (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
        with self._signals.noted(*numbers):
            try:
                self._run(started)
            finally:
                for child in self._children():
                    _kill_group(child)

    def _run(self, started: Callable[[str], None]) -> None:
        say = started
        while self._children() or not self._stopping:
            self._begin()
            pipes = [child.pipe for child in self._children()]
            for number in self._signals.wait(pipes, self._seconds_to_wait()):
                self._obey(number)
            if (name := self._succeeded()) is not None:
                say(name)
                say = self._say_reloaded
            self._bury(first=say is started)

    def _children(self) -> list[Child]:
        return [child for child in (self._current, self._coming, *self._leaving) if child]

    def _seconds_to_wait(self) -> float | None:
        waits = self._wanted and not self._coming and not self._stopping
        return max(0.0, self._not_before - time.monotonic()) if waits else None

    def _begin(self) -> None:
        """Begin to load a model, if one is wanted and none is being loaded."""
        if self._seconds_to_wait() == 0.0:
            self._wanted, self._reason = False, None
            self._coming = Child(self._keep, [child.pipe for child in self._children()])

    def _obey(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._wanted = True
        elif number in (signal.SIGINT, signal.SIGTERM):
            if self._stopping:
                for child in self._children():
                    _kill_group(child)
            elif self._coming:
                _kill_group(self._coming)
            self._stopping = True
            for child in self._children():
                child.tell(STOP)

    def _succeeded(self) -> str | None:
        """Return the name of the new model if its workers can serve, and retire the old ones."""
        said = self._coming.said() if self._coming else None
        if said is None or not said.startswith(READY):
            self._reason = said.removeprefix(FAILED) if said else self._reason
            return None
        if self._current:
            self._current.tell(RETIRE)
            self._leaving.append(self._current)
        self._current, self._coming = self._coming, None
        return said.removeprefix(READY)

    def _bury(self, first: bool) -> None:
        """Take leave of children that have ended.

        Raises:
            ModelError: it was the first, and cannot be served.
        """
        for child in [child for child in self._children() if child.has_ended()]:
            said = child.said()
            child.pipe.close()
            if child in self._leaving:
                self._leaving.remove(child)
            elif child is self._current:
                self._current = None
                self._note_death()
            else:
                self._coming = None
                self._note_failure(said.removeprefix(FAILED) if said else self._reason, first)

    def _note_death(self) -> None:
        if not self._stopping:
            self._say("the process that kept the workers died; the model is loaded again")
            self._wanted = True

    def _note_failure(self, reason: str | None, first: bool) -> None:
        if self._stopping:
            return
        reason = reason or "its processes ended before they could serve"
        if first:
            raise ModelError(reason)
        if self._current:
            self._say(f"the model was not loaded again: {reason}")
        else:
            self._say(f"no model is served: {reason}")
            self._wanted, self._not_before = True, time.monotonic() + _PAUSE

    def _say_reloaded(self, name: str) -> None:
        self._say(f"{name} was loaded again; the workers before end when their requests are done")


def _kill_group(child: Child) -> None:
    """End a child and its workers at once."""
    if not child.ended:
        with suppress(ProcessLookupError):  # it has no group of its own yet
            os.killpg(child.pid, signal.SIGKILL)
        child.kill()
