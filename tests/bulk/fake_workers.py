"""What workers do in tests of engines: they fail as the ids of their items say."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from plainspeech.bulk.work import Item, Outcome
from plainspeech.errors import ModelError


class FakeTranscriber:
    """Writes rows at once; dies at ``die-N-...`` in the first N attempts.

    Args:
        folder: keeps count of attempts, over the processes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, item: Item) -> Outcome:
        die_where_the_id_says_so(item, self._folder)
        kind = item.id.split("-")[0]
        if kind == "wait":
            time.sleep(60)
        if kind == "broken":
            return Outcome(item.id, item.audio, error="is broken")
        row = f'{{"id": "{item.id}"}}'
        return Outcome(item.id, item.audio, row, seconds=1.0, processor_seconds=0.5)


def die_where_the_id_says_so(item: Item, folder: Path) -> None:
    attempts = folder / item.id
    with attempts.open("a") as file:
        file.write("x")
    kind, *rest = item.id.split("-")
    if kind == "die" and attempts.stat().st_size <= int(rest[0]):
        os.kill(os.getpid(), signal.SIGKILL)


def no_model() -> FakeTranscriber:
    raise ModelError("no such model")


def die_at_once() -> FakeTranscriber:
    os._exit(3)
