"""What every verb prints to beside its results."""

from __future__ import annotations

from rich.console import Console


def stderr() -> Console:
    """Return a console for progress, remarks and errors: long lines stay whole."""
    return Console(stderr=True, soft_wrap=True, highlight=False)
