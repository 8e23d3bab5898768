"""Progress bars of recordings that are being transcribed."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from typing import TYPE_CHECKING, TextIO

from rich import progress
from rich.console import Console

if TYPE_CHECKING:
    from plainspeech.runtime.long_audio import TranscriptPart


class ProgressBars:
    """A bar for each recording that is being transcribed; several threads may show one each.

    Args:
        terminal: on which they are shown.
        shown: False shows none.
    """

    def __init__(self, terminal: TextIO, shown: bool) -> None:
        columns = (
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
        )
        # Standard output is for the transcripts alone, and bars would redirect it.
        self._progress = progress.Progress(
            *columns,
            console=Console(file=terminal),
            disable=not shown,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> ProgressBars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def tracked(self, parts: Iterable[TranscriptPart], name: str) -> Iterator[TranscriptPart]:
        """Yield ``parts`` while a bar shows how much of the recording has been transcribed."""
        task = self._progress.add_task(name, total=None)
        try:
            for part in parts:
                self._progress.update(task, completed=part.end, total=part.declared_duration)
                yield part
        finally:
            self._progress.remove_task(task)


@contextmanager
def silent_libraries() -> Iterator[TextIO]:
    """Silence C libraries on stderr; yield it for Python, whose `sys.stderr` still reaches it.

    libmpg123 prints warnings about damaged files, which this package reports itself.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        with (
            os.fdopen(saved, "w", closefd=False) as terminal,
            redirect_stderr(terminal) if _is_stderr(sys.stderr) else nullcontext(),
        ):
            yield terminal
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _is_stderr(stream: TextIO) -> bool:
    try:
        return stream.fileno() == 2
    except (OSError, io.UnsupportedOperation):
        return False
