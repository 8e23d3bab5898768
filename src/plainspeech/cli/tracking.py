"""A progress bar for what takes long."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from rich import progress

from plainspeech.cli.terminal import stderr

T = TypeVar("T")


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
