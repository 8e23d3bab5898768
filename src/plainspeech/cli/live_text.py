"""How text is shown while somebody speaks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

if TYPE_CHECKING:
    from plainspeech.runtime.events import Event, Partial

Show = Callable[["Event"], None]


def show_line(event: Event) -> None:
    """Print what was said."""
    from plainspeech.runtime.events import Final

    if isinstance(event, Final) and event.text:
        typer.echo(event.text)


def show_json(event: Event) -> None:
    """Print what was said as JSON, with words and times, as the server sends it."""
    from plainspeech.runtime.events import Final, message

    if isinstance(event, Final) and event.text:
        typer.echo(json.dumps(message(event), ensure_ascii=False))


@contextmanager
def on_terminal(console: Console) -> Iterator[Show]:
    """Show on one line what is being said, and above it what was."""
    from plainspeech.runtime.events import Final

    with Live(console=console, auto_refresh=False, transient=True) as line:

        def show(event: Event) -> None:
            if not isinstance(event, Final):
                line.update(end_of(event, console.width - 1), refresh=True)
                return
            line.update("", refresh=True)
            if event.text:
                time = Text(str(timedelta(seconds=int(event.start))), "dim")
                console.print(time, Text(event.text), soft_wrap=True)

        yield show


def end_of(partial: Partial, room: int) -> Text:
    """Return as much of the end as ``room`` cells hold; what may change yet is dim."""
    text = Text(partial.text, no_wrap=True)
    text.stylize("dim", len(partial.stable))
    if text.cell_len <= room:
        return text
    return Text("…", "dim", no_wrap=True).append_text(text[len(text) - room + 1 :])
