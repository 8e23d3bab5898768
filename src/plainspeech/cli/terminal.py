"""Terminal output besides results: messages, progress bars, advice on missing extras."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from typing import TYPE_CHECKING, Any, TextIO, TypeVar, cast

from plainspeech.errors import ConfigurationError, how_to_install

if TYPE_CHECKING:
    from io import BufferedReader

    from rich import progress as rich_progress
    from rich.console import Console

    from plainspeech.runtime.long_audio import TranscriptPart

T = TypeVar("T")

WIDEST_TABLE = 500
"""Columns; on a narrow terminal a wrapped line is of more use than a truncated one."""


# Names of files and speakers may look like markup of rich's, which would swallow them or fail.
_AS_IT_IS: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}

_SECONDS_BETWEEN_LINES = 60.0  # about the progress, where there is no terminal for a bar


def stderr(quiet: bool = False) -> Console:
    """Return a console for progress, messages and errors, which does not wrap long lines.

    Text is shown as it is.

    Args:
        quiet: whether it shows nothing.
    """
    from rich.console import Console  # here, for most transcriptions need none

    return Console(stderr=True, soft_wrap=True, quiet=quiet, **_AS_IT_IS)


def stdout(width: int | None = None, soft_wrap: bool = False) -> Console:
    """Return a console for results, which shows text as it is.

    Args:
        width: columns; by default the terminal's.
        soft_wrap: leave long lines to the terminal.
    """
    from rich.console import Console

    return Console(width=width, soft_wrap=soft_wrap, **_AS_IT_IS)


def standard_input() -> BufferedReader:
    """Return what is read where a recording is called ``-``.

    Raises:
        ConfigurationError: it is closed.
    """
    if sys.stdin is None:
        raise ConfigurationError("-: standard input is closed; name a recording")
    return cast("BufferedReader", sys.stdin.buffer)


def track(items: Iterable[T], total: int, what: str = "reading recordings") -> Iterable[T]:
    """Pass on ``items``, of which there are ``total``, and show how many were.

    Args:
        items: to pass on.
        total: how many there are.
        what: is done with them.
    """
    with counted(stderr(), what, total) as advance:
        for item in items:
            yield item
            advance(1)


@contextmanager
def counted(console: Console, what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes how many more are done.

    They are shown as a bar on a terminal, elsewhere as a line now and then.

    Args:
        console: on which they are shown.
        what: is done.
        total: how many there are.
    """
    lines = ProgressLines(console)
    with progress(console) as bars:
        bar, done = bars.add_task(what, total=total), 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            bars.advance(bar, count)
            lines.update(lambda: f"{what}: {done} of {total}")

        yield advance


def progress(
    console: Console, fields: str | None = None, *, transient: bool = True
) -> rich_progress.Progress:
    """Return progress bars of counted steps, only on a terminal.

    Args:
        console: on which they are shown.
        fields: what else to show, such as ``"loss {task.fields[loss]:.3f}"``.
        transient: whether they disappear at the end.
    """
    from rich import progress as rich_progress

    return rich_progress.Progress(
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        *([rich_progress.TextColumn(fields)] if fields else []),
        rich_progress.TimeElapsedColumn(),
        rich_progress.TimeRemainingColumn(),
        console=console,
        transient=transient,
        disable=not console.is_terminal,
    )


class ProgressLines:
    """Prints a line about the progress once a minute, where there is no terminal for a bar.

    Args:
        console: on which they are shown.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown = not console.is_terminal
        self._last = time.monotonic()

    def update(self, line: Callable[[], str]) -> None:
        """Print what ``line`` returns, if it is time."""
        if self._shown and time.monotonic() - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            self._console.print(line())


class ProgressBars:
    """A bar for each recording that is being transcribed; several threads may show one each.

    Args:
        terminal: on which they are shown.
        shown: False shows none.
    """

    def __init__(self, terminal: TextIO, shown: bool) -> None:
        self._progress = _recording_bars(terminal) if shown else None

    def __enter__(self) -> ProgressBars:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress:
            self._progress.stop()

    def tracked(self, parts: Iterable[TranscriptPart], name: str) -> Iterator[TranscriptPart]:
        """Yield ``parts`` while a bar shows how much of the recording has been transcribed."""
        with self.bar(name) as update:
            for part in parts:
                update(part.end, part.declared_duration)
                yield part

    @contextmanager
    def bar(self, name: str) -> Iterator[Callable[[float, float | None], None]]:
        """Yield a function that takes the seconds that are done, and of how many, if known."""
        if not self._progress:
            yield lambda done, duration: None
            return
        progress = self._progress
        task = progress.add_task(name, total=None)
        try:
            yield lambda done, duration: progress.update(task, completed=done, total=duration)
        finally:
            progress.remove_task(task)


def _recording_bars(terminal: TextIO) -> rich_progress.Progress:
    # It takes a fiftieth of the time of a short transcription to import.
    from rich import progress as rich_progress
    from rich.console import Console

    columns = (
        rich_progress.TextColumn("{task.description}", markup=False),
        rich_progress.BarColumn(),
        rich_progress.TimeElapsedColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    # Standard output is for the transcripts alone, and bars would redirect it.
    return rich_progress.Progress(
        *columns,
        console=Console(file=terminal),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


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
            os.fdopen(saved, "w", closefd=False, errors="backslashreplace") as terminal,
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


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Turn a failed import in the block into advice to install ``extra``."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "plainspeech":
            raise
        raise ConfigurationError(
            f"{error.name} is not installed; this needs the {extra} extra: {how_to_install(extra)}"
        ) from error
