"""What every verb prints to beside its results."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def stderr() -> Console:
    """Return a console for progress, remarks and errors: long lines stay whole."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def progress(console: Console) -> Progress:
    """Return progress bars of counted steps, on a terminal alone, which go when they are done."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
