"""Progress bars for what takes long."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from rich import progress as rich_progress
from rich.console import Console

from plainspeech.cli.terminal import stderr

T = TypeVar("T")


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
