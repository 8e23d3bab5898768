"""What every verb prints to beside its results: messages, and progress bars for what takes long."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from rich import progress as rich_progress
from rich.console import Console

T = TypeVar("T")


def stderr() -> Console:
    """Return a console for progress, remarks and errors: long lines stay whole."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def track(items: Iterable[T], total: int) -> Iterable[T]:
    """Pass on ``items``, of which there are ``total``, with a progress bar on a terminal."""
    console = stderr()
    return rich_progress.track(
        items,
        "Reading recordings",
        total=total,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def progress(console: Console) -> rich_progress.Progress:
    """Return progress bars of counted steps, on a terminal alone, which go when they are done."""
    return rich_progress.Progress(
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeElapsedColumn(),
        rich_progress.TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
