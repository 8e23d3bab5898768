"""What every verb prints to beside its results."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from rich import progress
from rich.console import Console

T = TypeVar("T")


def stderr() -> Console:
    """Return a console for progress, remarks and errors: long lines stay whole."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def track(items: Iterable[T], total: int) -> Iterable[T]:
    """Pass on ``items``, of which there are ``total``, with a progress bar on a terminal."""
    console = stderr()
    return progress.track(
        items,
        "Reading recordings",
        total=total,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
