"""What the terminal shows while a recording is transcribed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from rich import progress
from rich.console import Console

if TYPE_CHECKING:
    from plainspeech.runtime.long_audio import Heard


def tracked(stretches: Iterable[Heard], name: str, terminal: TextIO) -> Iterator[Heard]:
    """Yield ``stretches`` while a bar shows how much of the recording they are."""
    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
    )
    console = Console(file=terminal)
    # Standard output is for the transcripts alone, and the bar would redirect it.
    with progress.Progress(
        *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as bar:
        task = bar.add_task(name, total=None)
        for stretch in stretches:
            bar.update(task, completed=stretch.until, total=stretch.promised)
            yield stretch


@contextmanager
def silent_libraries() -> Iterator[TextIO]:
    """Keep C libraries off stderr, which is yielded.

    libmpg123 remarks on damaged files, which are one line each.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        with os.fdopen(saved, "w", closefd=False) as terminal:
            yield terminal
    finally:
        os.dup2(saved, 2)
        os.close(saved)
